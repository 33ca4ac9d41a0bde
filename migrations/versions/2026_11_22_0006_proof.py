"""The log: rows waiting for an index, leaves and their seeds, tree nodes, checkpoints, trust files.

Revision 0006. Leaves, nodes, checkpoints and trust files are history and only grow; `unsealed` is
a queue; a leaf's seed may be erased, which closes the leaf for ever.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE unsealed (
    kind smallint NOT NULL CHECK (kind IN (1, 2, 3)),
    ref uuid NOT NULL,
    queued_at timestamptz NOT NULL DEFAULT now(),
    refused text,
    PRIMARY KEY (kind, ref)
-- Rows live for moments: without early vacuuming the sealer would walk over the dead ones.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE TABLE leaf (
    index bigint PRIMARY KEY CHECK (index >= 0),
    kind smallint NOT NULL CHECK (kind IN (1, 2, 3)),
    ref uuid NOT NULL CONSTRAINT leaf_ref_key UNIQUE,
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    act text,
    class text,
    programme text,
    rule text,
    rule_version integer,
    reason smallint,
    account bytea CHECK (octet_length(account) = 20),
    amount bigint CHECK (amount > 0),
    city_day date,
    sealed_at timestamptz NOT NULL,
    CONSTRAINT leaf_transfer_is_whole CHECK (
        (kind = 1) = (act IS NOT NULL AND class IS NOT NULL AND reason IS NOT NULL
                      AND account IS NOT NULL AND amount IS NOT NULL AND city_day IS NOT NULL))
);

CREATE TABLE leaf_secret (
    index bigint PRIMARY KEY,
    seed bytea NOT NULL CHECK (octet_length(seed) = 32)
);

CREATE TABLE log_node (
    level smallint NOT NULL CHECK (level >= 0),
    index bigint NOT NULL CHECK (index >= 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, index)
);

CREATE TABLE checkpoint (
    size bigint PRIMARY KEY CHECK (size >= 1),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note text NOT NULL,
    signed_at timestamptz NOT NULL
);

CREATE TABLE trust (
    version integer PRIMARY KEY CHECK (version >= 1),
    document bytea NOT NULL,
    signature text,
    published_at timestamptz NOT NULL
);
"""

# History only grows: no role of the running product may change or remove a row of it. The queue
# is state, and the eraser may take a leaf's seed away.
GRANTS = """
GRANT SELECT, INSERT ON unsealed, leaf, leaf_secret, log_node, checkpoint, trust TO tanhui_app;
GRANT UPDATE (refused), DELETE ON unsealed TO tanhui_app;
GRANT SELECT ON leaf, leaf_secret TO tanhui_eraser;
GRANT DELETE ON leaf_secret TO tanhui_eraser;
"""

NAMES = "trust checkpoint log_node leaf_secret leaf unsealed"


def upgrade() -> None:
    """Create the tables and give each role exactly what it needs."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    """Drop the tables, for an empty installation."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in NAMES.split():
        op.execute(f"DROP TABLE {name}")
