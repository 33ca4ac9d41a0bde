"""Notices to partners: where each wants them, the secrets they are signed with, every attempt.

Revision 0011, after 0010. Attempts only grow; of a delivery everything but its content and its
addressee may change, so that what is sent again is what was sent first.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# `delivery` is its own queue: the index of what is due begins with the partner, so that ten
# thousand deliveries waiting for one endpoint are never walked over for another's.
TABLES = """
CREATE TABLE webhook_endpoint (
    partner_id text PRIMARY KEY REFERENCES partner (partner_id),
    url text NOT NULL,
    types text[] NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'stopped')),
    updated_at timestamptz NOT NULL,
    verified_at timestamptz,
    stopped_at timestamptz,
    quiet_until timestamptz,
    CHECK ((state = 'stopped') = (stopped_at IS NOT NULL))
);

CREATE TABLE webhook_secret (
    secret_id uuid PRIMARY KEY,
    partner_id text NOT NULL REFERENCES partner (partner_id),
    secret_sealed bytea NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz
);
CREATE INDEX webhook_secret_partner_idx ON webhook_secret (partner_id, secret_id);

CREATE TABLE delivery (
    delivery_id uuid PRIMARY KEY,
    partner_id text NOT NULL REFERENCES partner (partner_id),
    type text NOT NULL,
    body bytea NOT NULL CHECK (octet_length(body) <= 20000),
    told_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    due_at timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    step integer NOT NULL DEFAULT 0,
    last_status integer,
    last_error text,
    settled_at timestamptz
-- A delivery is claimed and settled within moments of its birth.
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
CREATE INDEX delivery_due_idx ON delivery (partner_id, due_at) WHERE state = 'waiting';
CREATE INDEX delivery_partner_idx ON delivery (partner_id, delivery_id);
CREATE INDEX delivery_dead_idx ON delivery (partner_id, delivery_id) WHERE state = 'dead';

CREATE TABLE delivery_attempt (
    delivery_id uuid NOT NULL REFERENCES delivery (delivery_id),
    n integer NOT NULL,
    started_at timestamptz NOT NULL,
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    status integer,
    error text,
    PRIMARY KEY (delivery_id, n)
);

CREATE TABLE notice_bookmark (
    name text PRIMARY KEY,
    leaf_index bigint NOT NULL
);
INSERT INTO notice_bookmark (name, leaf_index) VALUES ('award.confirmed', 0);
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON webhook_endpoint TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (valid_to) ON webhook_secret TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (state, due_at, tries, step, last_status, last_error, settled_at)
    ON delivery TO tanhui_app;
GRANT SELECT, INSERT ON delivery_attempt TO tanhui_app;
GRANT SELECT, UPDATE (leaf_index) ON notice_bookmark TO tanhui_app;
"""

NAMES = "notice_bookmark delivery_attempt delivery webhook_secret webhook_endpoint"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in NAMES.split():
        op.execute(f"DROP TABLE {name}")
