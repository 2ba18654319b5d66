-- Users, their sessions and API tokens, and the fact that set-up is done.
-- Times are microseconds since the Unix epoch. Text compares byte by byte.

CREATE TABLE users (
    id                 TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- UUIDv7, hyphenated, lower case
    username           TEXT COLLATE "C" NOT NULL,
    username_folded    TEXT COLLATE "C" NOT NULL UNIQUE,      -- lower case, for uniqueness and search
    email              TEXT COLLATE "C",                      -- none for service accounts
    email_folded       TEXT COLLATE "C" UNIQUE,
    name               TEXT COLLATE "C" NOT NULL,
    name_folded        TEXT COLLATE "C" NOT NULL,
    roles              TEXT COLLATE "C" NOT NULL,             -- names with commas; empty for a plain member
    status             TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'suspended')),
    is_service_account BOOLEAN NOT NULL,
    password_hash      TEXT COLLATE "C",                      -- PHC form
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL,
    last_seen_at       BIGINT,
    CHECK (NOT is_service_account OR (email IS NULL AND password_hash IS NULL))
);

CREATE TABLE tokens (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,     -- the public part, ten characters
    user_id        TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    secret_hash    BYTEA NOT NULL,                            -- SHA-256 of the secret part
    kind           TEXT COLLATE "C" NOT NULL CHECK (kind IN ('session', 'api')),
    name           TEXT COLLATE "C" NOT NULL,                 -- empty for sessions
    scopes         TEXT COLLATE "C" NOT NULL,                 -- names with commas
    lifetime_nanos BIGINT NOT NULL CHECK (lifetime_nanos > 0),
    slides         BOOLEAN NOT NULL,                          -- use moves the expiry; off once expired by hand
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    last_used_at   BIGINT,
    CHECK ((kind = 'session') = (name = ''))
);

-- Sessions have no name, so only API tokens are unique by it.
CREATE UNIQUE INDEX tokens_api_name ON tokens (user_id, name) WHERE kind = 'api';
CREATE INDEX tokens_user_kind ON tokens (user_id, kind, created_at);
CREATE INDEX tokens_expires_at ON tokens (expires_at);

-- At most one row, written with the first owner and never removed.
CREATE TABLE set_up (
    id        BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    user_id   TEXT COLLATE "C" NOT NULL, -- no reference: this row outlives the user
    set_up_at BIGINT NOT NULL
);
