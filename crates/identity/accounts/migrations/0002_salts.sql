-- A random salt for each account, for what its holder derives from an Access Code. It says nothing of anybody.

CREATE TABLE accounts_with_salts (
    number_hash BLOB NOT NULL PRIMARY KEY CHECK (length(number_hash) = 32),
    subscription BLOB NOT NULL UNIQUE CHECK (length(subscription) = 16),
    salt BLOB NOT NULL CHECK (length(salt) = 16)
) STRICT, WITHOUT ROWID;

INSERT INTO accounts_with_salts SELECT number_hash, subscription, randomblob(16) FROM accounts;
DROP TABLE accounts;
ALTER TABLE accounts_with_salts RENAME TO accounts;
