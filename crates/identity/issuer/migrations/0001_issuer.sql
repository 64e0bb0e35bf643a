-- Who drew what. No column is finer in time than a key's epoch.

-- What is remembered of a subscription for ever: the highest version seen, and whether that version's
-- one token for a dedicated address was drawn. (Lower versions are refused, so nothing is kept of them.)
CREATE TABLE subscriptions (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    version INTEGER NOT NULL CHECK (version >= 0),
    dedicated_ip_drawn INTEGER NOT NULL CHECK (dedicated_ip_drawn IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Answers given, kept while their token may be spent, so that the same request gets the same answer.
CREATE TABLE answers (
    subscription BLOB NOT NULL CHECK (length(subscription) = 16),
    version INTEGER NOT NULL CHECK (version >= 0),
    blinded_hash BLOB NOT NULL CHECK (length(blinded_hash) = 32),
    purpose TEXT NOT NULL CHECK (purpose IN ('access', 'dedicated-ip', 'renewal', 'relay-ticket')),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    blind_signature BLOB NOT NULL CHECK (length(blind_signature) = 256),
    PRIMARY KEY (subscription, version, blinded_hash, purpose, epoch)
) STRICT, WITHOUT ROWID;
