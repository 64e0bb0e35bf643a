-- What was leased, extended and given back, for a database that is restored from an older state. `token_hash` is the token that bought the
-- lease, until the week in which no verifier takes it any more; a lease of former times may have none. `ends` is the week at whose start
-- the lease ends. A row stays until both weeks are over.
CREATE TABLE journal (
    lease BLOB PRIMARY KEY CHECK (length(lease) = 16),
    token_hash BLOB CHECK (length(token_hash) = 32),
    until_week INTEGER NOT NULL,
    ip BLOB NOT NULL CHECK (length(ip) IN (4, 16, 17)),
    ends INTEGER NOT NULL,
    ending INTEGER NOT NULL CHECK (ending IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX journal_by_end ON journal (ends);
