-- The audit log: administrative acts, each written in the transaction of the act itself.
-- Times are microseconds since the Unix epoch. Text compares byte by byte.

CREATE TABLE audit_log (
    id                    TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- UUIDv7 of the time below, to the microsecond
    at                    BIGINT           NOT NULL,
    actor_kind            TEXT COLLATE "C" NOT NULL CHECK (actor_kind IN ('user', 'system')),
    actor_id              TEXT COLLATE "C",                      -- no reference: entries outlive users and tokens
    actor_username        TEXT COLLATE "C",
    actor_username_folded TEXT COLLATE "C",                      -- lower case, for search
    actor_token_id        TEXT COLLATE "C",
    address               TEXT COLLATE "C",                      -- the client's, as far as proxies are believed
    user_agent            TEXT COLLATE "C",
    action                TEXT COLLATE "C" NOT NULL,
    target_kind           TEXT COLLATE "C" NOT NULL,
    target_id             TEXT COLLATE "C",                      -- of a user or token
    target_name           TEXT COLLATE "C",
    target_name_folded    TEXT COLLATE "C",
    changes               TEXT COLLATE "C" NOT NULL,             -- JSON: {"field": {"before": text or null, "after": text or null}}
    detail                TEXT COLLATE "C"
);

CREATE INDEX audit_log_actor_id ON audit_log (actor_id, id);
CREATE INDEX audit_log_actor_username ON audit_log (actor_username_folded, id);
CREATE INDEX audit_log_action ON audit_log (action, id);
CREATE INDEX audit_log_target_id ON audit_log (target_id, id);
CREATE INDEX audit_log_target_name ON audit_log (target_name_folded, id);

-- At most one row: the options that the server was last started with, to which the next start is compared.
CREATE TABLE configuration (
    id       BIGINT           NOT NULL PRIMARY KEY CHECK (id = 1),
    options  TEXT COLLATE "C" NOT NULL, -- JSON: option to text; secrets as 'set' or 'unset' only
    noted_at BIGINT           NOT NULL
);
