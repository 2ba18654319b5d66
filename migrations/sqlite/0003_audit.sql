-- The audit log: administrative acts, each written in the transaction of the act itself.
-- Times are microseconds since the Unix epoch. Text compares byte by byte.

CREATE TABLE audit_log (
    id                    TEXT    NOT NULL PRIMARY KEY, -- UUIDv7 of the time below, to the microsecond
    at                    INTEGER NOT NULL,
    actor_kind            TEXT    NOT NULL CHECK (actor_kind IN ('user', 'system')),
    actor_id              TEXT,                         -- no reference: entries outlive users and tokens
    actor_username        TEXT,
    actor_username_folded TEXT,                         -- lower case, for search
    actor_token_id        TEXT,
    address               TEXT,                         -- the client's, as far as proxies are believed
    user_agent            TEXT,
    action                TEXT    NOT NULL,
    target_kind           TEXT    NOT NULL,
    target_id             TEXT,                         -- of a user or token
    target_name           TEXT,
    target_name_folded    TEXT,
    changes               TEXT    NOT NULL,             -- JSON: {"field": {"before": text or null, "after": text or null}}
    detail                TEXT
) STRICT;

CREATE INDEX audit_log_actor_id ON audit_log (actor_id, id);
CREATE INDEX audit_log_actor_username ON audit_log (actor_username_folded, id);
CREATE INDEX audit_log_action ON audit_log (action, id);
CREATE INDEX audit_log_target_id ON audit_log (target_id, id);
CREATE INDEX audit_log_target_name ON audit_log (target_name_folded, id);

-- At most one row: the options that the server was last started with, to which the next start is compared.
CREATE TABLE configuration (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    options  TEXT    NOT NULL, -- JSON: option to text; secrets as 'set' or 'unset' only
    noted_at INTEGER NOT NULL
) STRICT;
