-- Users, their sessions and API tokens, and the fact that set-up is done.
-- Times are microseconds since the Unix epoch. Text compares byte by byte.

CREATE TABLE users (
    id                 TEXT    NOT NULL PRIMARY KEY, -- UUIDv7, hyphenated, lower case
    username           TEXT    NOT NULL,
    username_folded    TEXT    NOT NULL UNIQUE,      -- lower case, for uniqueness and search
    email              TEXT,                         -- none for service accounts
    email_folded       TEXT    UNIQUE,
    name               TEXT    NOT NULL,
    name_folded        TEXT    NOT NULL,
    roles              TEXT    NOT NULL,             -- names with commas; empty for a plain member
    status             TEXT    NOT NULL CHECK (status IN ('active', 'suspended')),
    is_service_account INTEGER NOT NULL CHECK (is_service_account IN (FALSE, TRUE)),
    password_hash      TEXT,                         -- PHC form
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    last_seen_at       INTEGER,
    CHECK (NOT is_service_account OR (email IS NULL AND password_hash IS NULL))
) STRICT;

CREATE TABLE tokens (
    id             TEXT    NOT NULL PRIMARY KEY,     -- the public part, ten characters
    user_id        TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    secret_hash    BLOB    NOT NULL,                 -- SHA-256 of the secret part
    kind           TEXT    NOT NULL CHECK (kind IN ('session', 'api')),
    name           TEXT    NOT NULL,                 -- empty for sessions
    scopes         TEXT    NOT NULL,                 -- names with commas
    lifetime_nanos INTEGER NOT NULL CHECK (lifetime_nanos > 0),
    slides         INTEGER NOT NULL CHECK (slides IN (FALSE, TRUE)), -- use moves the expiry; off once expired by hand
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    last_used_at   INTEGER,
    CHECK ((kind = 'session') = (name = ''))
) STRICT;

-- Sessions have no name, so only API tokens are unique by it.
CREATE UNIQUE INDEX tokens_api_name ON tokens (user_id, name) WHERE kind = 'api';
CREATE INDEX tokens_user_kind ON tokens (user_id, kind, created_at);
CREATE INDEX tokens_expires_at ON tokens (expires_at);

-- At most one row, written with the first owner and never removed.
CREATE TABLE set_up (
    id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    user_id   TEXT    NOT NULL, -- no reference: this row outlives the user
    set_up_at INTEGER NOT NULL
) STRICT;
