-- What was asked of the providers: interceptions, what belongs to them, and the sums kept of them.
-- Ids of interceptions are UUIDv7, so id order is time order. Nothing here refers to users or tokens by a foreign key:
-- records outlive both. Children name their interception without one too: it would be looked up for each row written,
-- and rows are removed in batches anyway.

CREATE TABLE aibridge_interceptions (
    id                   TEXT    NOT NULL PRIMARY KEY,
    run_id               TEXT    NOT NULL, -- the run of the server that owns it while it is open
    initiator_id         TEXT    NOT NULL,
    initiator_username   TEXT    NOT NULL, -- at the time
    api_key_id           TEXT    NOT NULL, -- the public part of the token
    provider             TEXT    NOT NULL, -- what it speaks
    provider_name        TEXT    NOT NULL, -- which instance
    route                TEXT    NOT NULL,
    model                TEXT    NOT NULL, -- as asked for; empty if the request names none
    client               TEXT    NOT NULL,
    client_version       TEXT,
    user_agent           TEXT,
    client_session_id    TEXT,
    session_id           TEXT    NOT NULL, -- the client's, else that of the thread's root, else the own id
    thread_parent_id     TEXT,
    thread_root_id       TEXT,
    credential_kind      TEXT    NOT NULL,
    credential_hint      TEXT    NOT NULL,
    is_streamed          INTEGER NOT NULL CHECK (is_streamed IN (FALSE, TRUE)),
    started_at           INTEGER NOT NULL,
    marks                INTEGER NOT NULL, -- a set in bits
    outcome              TEXT,             -- from here on only of what has ended
    status               INTEGER,
    answered_model       TEXT,
    provider_response_id TEXT,
    stop_reason          TEXT,
    error_type           TEXT,
    error_message        TEXT,
    ended_at             INTEGER,
    CHECK ((outcome IS NULL) = (ended_at IS NULL))
) STRICT;

CREATE INDEX aibridge_interceptions_initiator ON aibridge_interceptions (initiator_id, id);
CREATE INDEX aibridge_interceptions_session ON aibridge_interceptions (initiator_id, session_id, id);
CREATE INDEX aibridge_interceptions_open ON aibridge_interceptions (id) WHERE ended_at IS NULL;
-- Some providers give every answer the same id, so the user is in it.
CREATE INDEX aibridge_interceptions_object ON aibridge_interceptions (provider_response_id, initiator_id, provider_name)
    WHERE provider_response_id IS NOT NULL;

CREATE TABLE aibridge_user_prompts (
    interception_id TEXT    NOT NULL PRIMARY KEY,
    prompt          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE aibridge_token_usages (
    interception_id          TEXT    NOT NULL PRIMARY KEY,
    provider_response_id     TEXT,
    input_tokens             INTEGER NOT NULL, -- without what was read from or written to a cache
    output_tokens            INTEGER NOT NULL, -- reasoning included
    cache_read_input_tokens  INTEGER NOT NULL,
    cache_write_input_tokens INTEGER NOT NULL,
    reasoning_tokens         INTEGER,
    service_tier             TEXT,
    metadata                 TEXT    NOT NULL, -- JSON: other counters by name
    is_partial               INTEGER NOT NULL CHECK (is_partial IN (FALSE, TRUE)),
    created_at               INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE aibridge_tool_usages (
    interception_id       TEXT    NOT NULL,
    ordinal               INTEGER NOT NULL,
    initiator_id          TEXT    NOT NULL, -- that of the interception, for the look-up of threads
    provider_response_id  TEXT,
    provider_tool_call_id TEXT,
    provider_item_id      TEXT,
    tool                  TEXT    NOT NULL,
    kind                  TEXT    NOT NULL,
    input                 TEXT,
    is_cut                INTEGER NOT NULL CHECK (is_cut IN (FALSE, TRUE)),
    created_at            INTEGER NOT NULL,
    PRIMARY KEY (interception_id, ordinal)
) STRICT;

CREATE INDEX aibridge_tool_usages_call
    ON aibridge_tool_usages (initiator_id, provider_tool_call_id, interception_id)
    WHERE provider_tool_call_id IS NOT NULL;

CREATE TABLE aibridge_model_thoughts (
    interception_id TEXT    NOT NULL,
    ordinal         INTEGER NOT NULL,
    source          TEXT    NOT NULL,
    content         TEXT    NOT NULL,
    is_cut          INTEGER NOT NULL CHECK (is_cut IN (FALSE, TRUE)),
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (interception_id, ordinal)
) STRICT;

-- One row for each session that has interceptions. Its id is that of the first one.
CREATE TABLE aibridge_sessions (
    id           TEXT NOT NULL PRIMARY KEY,
    initiator_id TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    UNIQUE (initiator_id, session_id)
) STRICT;

CREATE INDEX aibridge_sessions_initiator ON aibridge_sessions (initiator_id, id);

-- Sums over what has ended, by the day on which it started.
CREATE TABLE aibridge_usage_days (
    day                      INTEGER NOT NULL, -- days since the Unix epoch, UTC
    initiator_id             TEXT    NOT NULL,
    provider_name            TEXT    NOT NULL,
    model                    TEXT    NOT NULL,
    client                   TEXT    NOT NULL,
    initiator_username       TEXT    NOT NULL, -- the last one seen
    requests                 INTEGER NOT NULL,
    errors                   INTEGER NOT NULL,
    input_tokens             INTEGER NOT NULL,
    output_tokens            INTEGER NOT NULL,
    cache_read_input_tokens  INTEGER NOT NULL,
    cache_write_input_tokens INTEGER NOT NULL,
    reasoning_tokens         INTEGER NOT NULL,
    PRIMARY KEY (day, initiator_id, provider_name, model, client)
) STRICT, WITHOUT ROWID;

-- The runs of the server that may own open interceptions.
CREATE TABLE aibridge_runs (
    id          TEXT    NOT NULL PRIMARY KEY,
    started_at  INTEGER NOT NULL,
    lease_until INTEGER NOT NULL -- by the clock of the database
) STRICT;
