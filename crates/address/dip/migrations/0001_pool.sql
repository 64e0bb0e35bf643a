-- Where leased addresses are served.
CREATE TABLE gateways (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    endpoint TEXT NOT NULL,
    inner_address TEXT NOT NULL,
    resolver TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The pool. until_week is the week at whose start a quarantine ends; 0 in the other states.
CREATE TABLE addresses (
    address BLOB PRIMARY KEY CHECK (length(address) IN (4, 16)),
    region TEXT NOT NULL,
    gateway TEXT NOT NULL REFERENCES gateways (name),
    state TEXT NOT NULL CHECK (state IN ('free', 'held', 'quarantined')),
    until_week INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX addresses_by_region ON addresses (region, state);

-- Who holds an address: nobody but a lease's random id. until_week is the week at whose start a
-- reservation is dropped, or a lease ends.
CREATE TABLE leases (
    lease BLOB PRIMARY KEY CHECK (length(lease) = 16),
    address BLOB NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'leased')),
    until_week INTEGER NOT NULL,
    frozen INTEGER NOT NULL CHECK (frozen IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Tokens that were presented, by hash, until the week in which no verifier takes them any more.
CREATE TABLE spent (
    token_hash BLOB PRIMARY KEY CHECK (length(token_hash) = 32),
    lease BLOB NOT NULL,
    until_week INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The issuer's public keys, as they were imported.
CREATE TABLE token_keys (
    epoch INTEGER PRIMARY KEY,
    public_key BLOB NOT NULL,
    proof BLOB NOT NULL
) STRICT, WITHOUT ROWID;
