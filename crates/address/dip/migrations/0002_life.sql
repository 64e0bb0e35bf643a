-- A pool for years: addresses that are drained or blocked, prefixes, draws that cost the same however large the pool is; leases that are
-- given back or have something to tell; counts for forecasts and for a transparency report. The names are now those of the paper.

-- Where addresses are: for the geofeed (RFC 8805). Nothing but the name is needed.
CREATE TABLE regions (
    name TEXT PRIMARY KEY,
    country TEXT,
    subdivision TEXT,
    city TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO regions (name) SELECT DISTINCT region FROM addresses;

-- The pool. `ip` is an address, or a prefix of one's own with its length behind it. `place` is random: a draw takes the first available
-- address from a random place on. `status` says who has it (`reserved`: a lease), `service` what the operator wants of it: `open`, to be
-- given out; `drained`, not to be given out any more; `blocked`, not to be used any more. until_week is the week at whose start a
-- quarantine ends; 0 in the other states.
CREATE TABLE ip_pool (
    ip BLOB PRIMARY KEY CHECK (length(ip) IN (4, 16, 17)),
    region TEXT NOT NULL REFERENCES regions (name),
    gateway TEXT NOT NULL REFERENCES gateways (name),
    place INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('available', 'reserved', 'quarantine')),
    service TEXT NOT NULL CHECK (service IN ('open', 'drained', 'blocked')),
    until_week INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO ip_pool
    SELECT address, region, gateway, random(),
        CASE state WHEN 'free' THEN 'available' WHEN 'held' THEN 'reserved' ELSE 'quarantine' END, 'open', until_week
    FROM addresses;
CREATE INDEX ip_pool_to_draw ON ip_pool (region, place) WHERE status = 'available' AND service = 'open';
CREATE INDEX ip_pool_v6 ON ip_pool (ip) WHERE length(ip) > 4;
CREATE INDEX ip_pool_quarantine ON ip_pool (until_week) WHERE status = 'quarantine';

-- Who holds an address: nobody but a lease's random id. until_week is the week at whose start a reservation is dropped, or a lease ends.
-- One that was given back is `ending`: it isn't extended. `notice` is what its holder is to be told (JSON).
CREATE TABLE held (
    lease BLOB PRIMARY KEY CHECK (length(lease) = 16),
    ip BLOB NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'leased', 'ending')),
    until_week INTEGER NOT NULL,
    frozen INTEGER NOT NULL CHECK (frozen IN (0, 1)),
    notice TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO held SELECT lease, address, state, until_week, frozen, NULL FROM leases;
DROP TABLE leases;
ALTER TABLE held RENAME TO leases;
CREATE INDEX leases_by_end ON leases (until_week);

DROP TABLE addresses;

-- Which lease a token was assigned, by the token's hash, until the week in which no verifier takes it any more.
CREATE TABLE assignments (
    token_hash BLOB PRIMARY KEY CHECK (length(token_hash) = 32),
    lease BLOB NOT NULL,
    until_week INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO assignments SELECT token_hash, lease, until_week FROM spent;
CREATE INDEX assignments_by_lease ON assignments (lease);
CREATE INDEX assignments_by_end ON assignments (until_week);
DROP TABLE spent;

-- How many addresses of a region were leased in a week.
CREATE TABLE demand (
    region TEXT NOT NULL,
    week INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    PRIMARY KEY (region, week)
) STRICT, WITHOUT ROWID;

-- What operators did about complaints, counted by week: for a transparency report.
CREATE TABLE cases (
    week INTEGER NOT NULL,
    act TEXT NOT NULL,
    category TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (week, act, category)
) STRICT, WITHOUT ROWID;
