-- Who drew what. No column is finer in time than a key's epoch.

-- What is remembered of a subscription for ever: the highest version seen, and whether that version's
-- one token for a dedicated address was drawn. (Lower versions are refused, so nothing is kept of them.)
CREATE TABLE subscriptions (
    subscription_id bytea PRIMARY KEY CHECK (octet_length(subscription_id) = 16),
    redeemed boolean NOT NULL,
    version bigint NOT NULL CHECK (version BETWEEN 0 AND 4294967295)
);

-- Answers given, kept while their token may be spent, so that the same request gets the same answer.
CREATE TABLE answers (
    subscription_id bytea NOT NULL CHECK (octet_length(subscription_id) = 16),
    version bigint NOT NULL CHECK (version BETWEEN 0 AND 4294967295),
    blinded_hash bytea NOT NULL CHECK (octet_length(blinded_hash) = 32),
    purpose text NOT NULL CHECK (purpose IN ('access', 'dedicated-ip', 'renewal', 'relay-ticket')),
    epoch bigint NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    blind_signature bytea NOT NULL CHECK (octet_length(blind_signature) = 256),
    PRIMARY KEY (subscription_id, version, blinded_hash, purpose, epoch)
);

-- For those whose time is over.
CREATE INDEX answers_by_epoch ON answers (purpose, epoch);
