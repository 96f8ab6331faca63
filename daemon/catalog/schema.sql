-- The catalog, as version 1. Times are microseconds since 1970 UTC. The words in `state`, `kind` and `origin`
-- are those of the API. Ids sort by age.

-- Tarballs. A row exists before its file does and is deleted after its file is gone.
CREATE TABLE checkpoint (
    id              TEXT PRIMARY KEY,
    template        TEXT NOT NULL,
    template_digest TEXT NOT NULL,
    state           TEXT NOT NULL,
    reason          TEXT NOT NULL DEFAULT '',
    source          TEXT NOT NULL,             -- the instance that was dumped; its row may be gone
    image           TEXT NOT NULL,
    image_id        TEXT NOT NULL,
    size_bytes      INTEGER NOT NULL DEFAULT 0,
    sha256          TEXT NOT NULL DEFAULT '',  -- empty until state is 'available'
    created_at      INTEGER NOT NULL,
    available_at    INTEGER
) STRICT;
CREATE INDEX checkpoint_by_template ON checkpoint (template, state, id);

-- Containers that warmd made. Terminated rows stay for a while, as the answer to "what became of it".
CREATE TABLE instance (
    id            TEXT PRIMARY KEY,
    template      TEXT NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    origin        TEXT NOT NULL,
    checkpoint    TEXT NOT NULL DEFAULT '',  -- restored from; '' for a warmed one
    container     TEXT NOT NULL DEFAULT '',  -- Podman's id; '' until it is created
    created_at    INTEGER NOT NULL,
    terminated_at INTEGER
) STRICT;
CREATE INDEX instance_by_state ON instance (state, id);

-- Long actions. A row is durable before the client hears of it.
CREATE TABLE operation (
    id            TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,
    state         TEXT NOT NULL,
    template      TEXT NOT NULL DEFAULT '',
    instance      TEXT NOT NULL DEFAULT '',
    checkpoint    TEXT NOT NULL DEFAULT '',
    phase         TEXT NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL,
    started_at    INTEGER,
    finished_at   INTEGER,
    error_code    TEXT NOT NULL DEFAULT '',  -- '' unless it failed or was cancelled
    error_message TEXT NOT NULL DEFAULT '',
    error_hint    TEXT NOT NULL DEFAULT '',
    error_field   TEXT NOT NULL DEFAULT '',
    error_cause   TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX operation_by_state ON operation (state, id);

-- The timed steps of a checkpoint, an instance or an operation, in their order.
CREATE TABLE phase (
    owner      TEXT NOT NULL,  -- the id of one of the three
    position   INTEGER NOT NULL,
    name       TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    elapsed    INTEGER NOT NULL,
    PRIMARY KEY (owner, position)
) STRICT, WITHOUT ROWID;

-- Where a checkpoint was made: its tarball says nothing of that.
CREATE TABLE environment (
    checkpoint TEXT NOT NULL REFERENCES checkpoint (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (checkpoint, name)
) STRICT, WITHOUT ROWID;

-- What was measured while it was made.
CREATE TABLE statistic (
    checkpoint TEXT NOT NULL REFERENCES checkpoint (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    value      INTEGER NOT NULL,
    PRIMARY KEY (checkpoint, name)
) STRICT, WITHOUT ROWID;
