-- Which device may use the gateway, until which hour, on which token's word. No row is kept beyond that hour.
CREATE TABLE grants (
    device bytea PRIMARY KEY CHECK (octet_length(device) = 32),
    dat text NOT NULL,
    address bytea NOT NULL CHECK (octet_length(address) IN (4, 16, 17)),
    ends_hour bigint NOT NULL CHECK (ends_hour >= 0)
);

-- Whose key isn't let in, until which hour: a device that another one of its address removed. Only devices of that address may
-- take it back. An hour that has come means that it was taken back; no row is kept beyond its hour, nor when the device has come again.
CREATE TABLE removed (
    device bytea PRIMARY KEY CHECK (octet_length(device) = 32),
    address bytea NOT NULL CHECK (octet_length(address) IN (4, 16, 17)),
    until_hour bigint NOT NULL CHECK (until_hour >= 0)
);

-- Devices are counted and listed by address.
CREATE INDEX grants_by_address ON grants (address);
CREATE INDEX removed_by_address ON removed (address);
