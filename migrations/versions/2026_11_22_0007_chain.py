"""Chain: lanes and their nonces, signed transactions, cuts and batches, anchors, deployments."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE chain_lane (
    lane text PRIMARY KEY CHECK (lane ~ '^0x[0-9a-f]{40}$'),
    next_nonce bigint NOT NULL CHECK (next_nonce >= 0)
);

CREATE TABLE chain_tx (
    tx_id uuid PRIMARY KEY,
    lane text NOT NULL REFERENCES chain_lane (lane),
    nonce bigint NOT NULL CHECK (nonce >= 0),
    purpose text NOT NULL,
    ref text NOT NULL,
    to_address text NOT NULL CHECK (to_address ~ '^0x[0-9a-f]{40}$'),
    raw bytea NOT NULL,
    tx_hash bytea NOT NULL CONSTRAINT chain_tx_tx_hash_key UNIQUE,
    state text NOT NULL CHECK (state IN ('prepared', 'sent', 'final', 'failed', 'superseded')),
    block bigint,
    block_hash bytea,
    gas_used bigint,
    reason text,
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    settled_at timestamptz,
    CONSTRAINT chain_tx_lane_nonce_key UNIQUE (lane, nonce),
    CONSTRAINT chain_tx_settled_is_dated
        CHECK ((settled_at IS NULL) = (state IN ('prepared', 'sent')))
);
CREATE INDEX chain_tx_open_idx ON chain_tx (lane, nonce) WHERE settled_at IS NULL;
CREATE INDEX chain_tx_purpose_ref_idx ON chain_tx (purpose, ref);

CREATE TABLE post_cut (
    leaf_from bigint PRIMARY KEY CHECK (leaf_from >= 0),
    leaf_to bigint NOT NULL CONSTRAINT post_cut_leaf_to_key UNIQUE,
    cut_at timestamptz NOT NULL,
    settled_at timestamptz,
    CONSTRAINT post_cut_holds_leaves CHECK (leaf_from < leaf_to)
);
CREATE UNIQUE INDEX post_cut_one_open_idx ON post_cut ((settled_at IS NULL))
    WHERE settled_at IS NULL;

CREATE TABLE chain_batch (
    batch_id bytea PRIMARY KEY CHECK (octet_length(batch_id) = 32),
    leaf_from bigint NOT NULL,
    leaf_to bigint NOT NULL,
    kind smallint NOT NULL CHECK (kind IN (1, 2, 3)),
    class text NOT NULL,
    programme text NOT NULL,
    rule text NOT NULL,
    rule_version integer NOT NULL,
    reason smallint NOT NULL,
    account_from bytea NOT NULL CHECK (octet_length(account_from) = 20),
    account_to bytea NOT NULL CHECK (octet_length(account_to) = 20),
    day_from integer NOT NULL,
    day_to integer NOT NULL,
    records bytea NOT NULL,
    account_count integer NOT NULL CHECK (octet_length(records) = 24 * account_count),
    total bigint NOT NULL CHECK (total > 0),
    state text NOT NULL CHECK (state IN ('prepared', 'final', 'refused')),
    tx_id uuid NOT NULL REFERENCES chain_tx (tx_id),
    refused_reason text,
    created_at timestamptz NOT NULL,
    settled_at timestamptz
);
CREATE INDEX chain_batch_leaf_from_idx ON chain_batch (leaf_from, leaf_to);
CREATE INDEX chain_batch_open_idx ON chain_batch (state) WHERE state <> 'final';

CREATE TABLE anchor (
    size bigint PRIMARY KEY CHECK (size > 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    tx_id uuid NOT NULL REFERENCES chain_tx (tx_id),
    tx_hash bytea,
    block bigint,
    block_hash bytea,
    created_at timestamptz NOT NULL,
    final_at timestamptz
);
CREATE INDEX anchor_final_idx ON anchor (size) WHERE final_at IS NOT NULL;

CREATE TABLE deployment (
    name text PRIMARY KEY,
    address text NOT NULL CHECK (address ~ '^0x[0-9a-f]{40}$'),
    proxy_code_hash bytea NOT NULL,
    implementation_code_hash bytea NOT NULL,
    implementation_address text NOT NULL,
    block bigint NOT NULL,
    block_hash bytea NOT NULL,
    chain_id bigint NOT NULL
);
"""

# What was signed stays: rows change their state, none is ever removed. A batch's content and an
# anchor's root cannot be changed once written.
GRANTS = """
GRANT SELECT, INSERT ON chain_lane, chain_tx, post_cut, chain_batch, anchor, deployment
    TO tanhui_app;
GRANT UPDATE ON chain_lane TO tanhui_app;
GRANT UPDATE (state, block, block_hash, gas_used, reason, sent_at, settled_at) ON chain_tx
    TO tanhui_app;
GRANT UPDATE (settled_at) ON post_cut TO tanhui_app;
GRANT UPDATE (state, tx_id, refused_reason, settled_at) ON chain_batch TO tanhui_app;
GRANT UPDATE (tx_id, tx_hash, block, block_hash, final_at) ON anchor TO tanhui_app;
"""

NAMES = "deployment anchor chain_batch post_cut chain_tx chain_lane"


def upgrade() -> None:
    """Create the tables and give the app's role exactly what it needs."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    """Drop the tables, for an empty installation."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in NAMES.split():
        op.execute(f"DROP TABLE {name}")
