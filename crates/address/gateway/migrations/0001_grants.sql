-- Which device may use the gateway, until which hour, on which token's word. No row is kept beyond that hour.
CREATE TABLE grants (
    device BLOB PRIMARY KEY CHECK (length(device) = 32),
    dat TEXT NOT NULL,
    address BLOB NOT NULL CHECK (length(address) IN (4, 16)),
    ends_hour INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
