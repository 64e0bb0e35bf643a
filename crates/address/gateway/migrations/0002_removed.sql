-- Whose key isn't let in, until which hour: a device that another one of its address removed. Only devices of that address may
-- take it back. An hour that has come means that it was taken back; no row is kept beyond its hour, nor when the device has come again.
CREATE TABLE removed (
    device BLOB PRIMARY KEY CHECK (length(device) = 32),
    address BLOB NOT NULL CHECK (length(address) IN (4, 16, 17)),
    until_hour INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Devices are counted and listed by address.
CREATE INDEX grants_by_address ON grants (address);
CREATE INDEX removed_by_address ON removed (address);
