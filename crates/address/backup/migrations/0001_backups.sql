-- Sealed backups by the hash of the key that writes them. Nothing says whose they are, or when they were written.
CREATE TABLE backups (
    locator BLOB NOT NULL PRIMARY KEY CHECK (length(locator) = 32),
    until_week INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A backup in pieces that lie inside their pages. A longer one would go on in pages of its own, whose numbers tell the order of arrival.
CREATE TABLE pieces (
    locator BLOB NOT NULL CHECK (length(locator) = 32),
    piece INTEGER NOT NULL CHECK (piece BETWEEN 0 AND 3),
    bytes BLOB NOT NULL CHECK (length(bytes) = 768),
    PRIMARY KEY (locator, piece)
) STRICT, WITHOUT ROWID;

-- How many backups there are, so that nobody has to count them.
CREATE TABLE room (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    taken INTEGER NOT NULL CHECK (taken >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO room (one, taken) VALUES (1, 0);
