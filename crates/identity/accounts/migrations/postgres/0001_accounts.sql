-- Who pays for what. No column tells when; `number_hash` is all that is kept of an account's number. `salt` is random, for what
-- the account's holder derives from an Access Code; it says nothing of anybody.

CREATE TABLE accounts (
    number_hash bytea PRIMARY KEY CHECK (octet_length(number_hash) = 32),
    subscription_id bytea NOT NULL UNIQUE CHECK (octet_length(subscription_id) = 16),
    salt bytea NOT NULL CHECK (octet_length(salt) = 16)
);

CREATE TABLE subscriptions (
    subscription_id bytea PRIMARY KEY CHECK (octet_length(subscription_id) = 16),
    version bigint NOT NULL CHECK (version BETWEEN 0 AND 4294967295),
    refunded boolean NOT NULL,
    dedicated_ip boolean NOT NULL,
    access boolean NOT NULL
);
