-- What was asked of the providers: interceptions, what belongs to them, and the sums kept of them.
-- Ids of interceptions are UUIDv7, so id order is time order. Nothing here refers to users or tokens by a foreign key:
-- records outlive both. Children name their interception without one too: it would be looked up for each row written,
-- and rows are removed in batches anyway.

CREATE TABLE aibridge_interceptions (
    id                   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    run_id               TEXT COLLATE "C" NOT NULL, -- the run of the server that owns it while it is open
    initiator_id         TEXT COLLATE "C" NOT NULL,
    initiator_username   TEXT COLLATE "C" NOT NULL, -- at the time
    api_key_id           TEXT COLLATE "C" NOT NULL, -- the public part of the token
    provider             TEXT COLLATE "C" NOT NULL, -- what it speaks
    provider_name        TEXT COLLATE "C" NOT NULL, -- which instance
    route                TEXT COLLATE "C" NOT NULL,
    model                TEXT COLLATE "C" NOT NULL, -- as asked for; empty if the request names none
    client               TEXT COLLATE "C" NOT NULL,
    client_version       TEXT COLLATE "C",
    user_agent           TEXT COLLATE "C",
    client_session_id    TEXT COLLATE "C",
    session_id           TEXT COLLATE "C" NOT NULL, -- the client's, else that of the thread's root, else the own id
    thread_parent_id     TEXT COLLATE "C",
    thread_root_id       TEXT COLLATE "C",
    credential_kind      TEXT COLLATE "C" NOT NULL,
    credential_hint      TEXT COLLATE "C" NOT NULL,
    is_streamed          BOOLEAN NOT NULL,
    started_at           BIGINT NOT NULL,
    marks                BIGINT NOT NULL, -- a set in bits
    outcome              TEXT COLLATE "C", -- from here on only of what has ended
    status               BIGINT,
    answered_model       TEXT COLLATE "C",
    provider_response_id TEXT COLLATE "C",
    stop_reason          TEXT COLLATE "C",
    error_type           TEXT COLLATE "C",
    error_message        TEXT COLLATE "C",
    ended_at             BIGINT,
    CHECK ((outcome IS NULL) = (ended_at IS NULL))
);

CREATE INDEX aibridge_interceptions_initiator ON aibridge_interceptions (initiator_id, id);
CREATE INDEX aibridge_interceptions_session ON aibridge_interceptions (initiator_id, session_id, id);
CREATE INDEX aibridge_interceptions_open ON aibridge_interceptions (id) WHERE ended_at IS NULL;
-- Some providers give every answer the same id, so the user is in it.
CREATE INDEX aibridge_interceptions_object ON aibridge_interceptions (provider_response_id, initiator_id, provider_name)
    WHERE provider_response_id IS NOT NULL;

CREATE TABLE aibridge_user_prompts (
    interception_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    prompt          TEXT COLLATE "C" NOT NULL,
    created_at      BIGINT NOT NULL
);

CREATE TABLE aibridge_token_usages (
    interception_id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    provider_response_id     TEXT COLLATE "C",
    input_tokens             BIGINT NOT NULL, -- without what was read from or written to a cache
    output_tokens            BIGINT NOT NULL, -- reasoning included
    cache_read_input_tokens  BIGINT NOT NULL,
    cache_write_input_tokens BIGINT NOT NULL,
    reasoning_tokens         BIGINT,
    service_tier             TEXT COLLATE "C",
    metadata                 TEXT COLLATE "C" NOT NULL, -- JSON: other counters by name
    is_partial               BOOLEAN NOT NULL,
    created_at               BIGINT NOT NULL
);

CREATE TABLE aibridge_tool_usages (
    interception_id       TEXT COLLATE "C" NOT NULL,
    ordinal               BIGINT NOT NULL,
    initiator_id          TEXT COLLATE "C" NOT NULL, -- that of the interception, for the look-up of threads
    provider_response_id  TEXT COLLATE "C",
    provider_tool_call_id TEXT COLLATE "C",
    provider_item_id      TEXT COLLATE "C",
    tool                  TEXT COLLATE "C" NOT NULL,
    kind                  TEXT COLLATE "C" NOT NULL,
    input                 TEXT COLLATE "C",
    is_cut                BOOLEAN NOT NULL,
    created_at            BIGINT NOT NULL,
    PRIMARY KEY (interception_id, ordinal)
);

CREATE INDEX aibridge_tool_usages_call
    ON aibridge_tool_usages (initiator_id, provider_tool_call_id, interception_id)
    WHERE provider_tool_call_id IS NOT NULL;

CREATE TABLE aibridge_model_thoughts (
    interception_id TEXT COLLATE "C" NOT NULL,
    ordinal         BIGINT NOT NULL,
    source          TEXT COLLATE "C" NOT NULL,
    content         TEXT COLLATE "C" NOT NULL,
    is_cut          BOOLEAN NOT NULL,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (interception_id, ordinal)
);

-- One row for each session that has interceptions. Its id is that of the first one.
CREATE TABLE aibridge_sessions (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    initiator_id TEXT COLLATE "C" NOT NULL,
    session_id   TEXT COLLATE "C" NOT NULL,
    UNIQUE (initiator_id, session_id)
);

CREATE INDEX aibridge_sessions_initiator ON aibridge_sessions (initiator_id, id);

-- Sums over what has ended, by the day on which it started.
CREATE TABLE aibridge_usage_days (
    day                      BIGINT NOT NULL, -- days since the Unix epoch, UTC
    initiator_id             TEXT COLLATE "C" NOT NULL,
    provider_name            TEXT COLLATE "C" NOT NULL,
    model                    TEXT COLLATE "C" NOT NULL,
    client                   TEXT COLLATE "C" NOT NULL,
    initiator_username       TEXT COLLATE "C" NOT NULL, -- the last one seen
    requests                 BIGINT NOT NULL,
    errors                   BIGINT NOT NULL,
    input_tokens             BIGINT NOT NULL,
    output_tokens            BIGINT NOT NULL,
    cache_read_input_tokens  BIGINT NOT NULL,
    cache_write_input_tokens BIGINT NOT NULL,
    reasoning_tokens         BIGINT NOT NULL,
    PRIMARY KEY (day, initiator_id, provider_name, model, client)
);

-- The runs of the server that may own open interceptions.
CREATE TABLE aibridge_runs (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    started_at  BIGINT NOT NULL,
    lease_until BIGINT NOT NULL -- by the clock of the database
);
