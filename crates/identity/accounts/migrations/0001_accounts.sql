-- Who pays for what. No column tells when; `number_hash` is all that is kept of an account's number.

CREATE TABLE accounts (
    number_hash BLOB NOT NULL PRIMARY KEY CHECK (length(number_hash) = 32),
    subscription BLOB NOT NULL UNIQUE CHECK (length(subscription) = 16)
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriptions (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    version INTEGER NOT NULL CHECK (version >= 0),
    refunded INTEGER NOT NULL CHECK (refunded IN (0, 1)),
    dedicated_ip INTEGER NOT NULL CHECK (dedicated_ip IN (0, 1)),
    access INTEGER NOT NULL CHECK (access IN (0, 1))
) STRICT, WITHOUT ROWID;
