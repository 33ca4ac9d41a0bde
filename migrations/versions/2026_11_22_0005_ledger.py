"""Transfers and postings, which only grow, and the balances and lots that follow from them."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE transfer (
    transfer_id uuid PRIMARY KEY,
    act text NOT NULL CHECK (act IN ('award', 'refund', 'redeem', 'expire', 'reverse', 'erase')),
    reason smallint NOT NULL CHECK (reason BETWEEN 0 AND 4),
    of_transfer uuid,
    citizen_id uuid NOT NULL,
    class text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    programme_id text,
    rule_id text,
    rule_version integer,
    city_day date NOT NULL,
    idempotency_key text,
    body_digest bytea,
    note text,
    created_at timestamptz NOT NULL,
    CONSTRAINT transfer_key_has_digest CHECK ((idempotency_key IS NULL) = (body_digest IS NULL))
);
CREATE UNIQUE INDEX transfer_idempotency_key ON transfer (idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX transfer_reversed_once ON transfer (of_transfer) WHERE act = 'reverse';
CREATE INDEX transfer_citizen_idx ON transfer (citizen_id, transfer_id);

CREATE TABLE posting (
    transfer_id uuid NOT NULL,
    n smallint NOT NULL CHECK (n >= 0),
    source text NOT NULL,
    destination text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    asset text NOT NULL,
    expiry_month date,
    PRIMARY KEY (transfer_id, n),
    CONSTRAINT posting_moves CHECK (source <> destination),
    CONSTRAINT posting_names_its_lot CHECK (
        (expiry_month IS NOT NULL)
        = (source LIKE 'citizen:%:points' OR destination LIKE 'citizen:%:points'))
);

CREATE TABLE balance (
    account text NOT NULL,
    asset text NOT NULL,
    input bigint NOT NULL CHECK (input >= 0),
    output bigint NOT NULL CHECK (output >= 0),
    PRIMARY KEY (account, asset),
    CONSTRAINT balance_points_not_below_zero
        CHECK (account NOT LIKE 'citizen:%:points' OR input >= output)
) WITH (fillfactor = 80);

CREATE TABLE lot (
    citizen_id uuid NOT NULL,
    class text NOT NULL,
    expiry_month date NOT NULL CHECK (extract(day FROM expiry_month) = 1),
    open bigint NOT NULL CHECK (open >= 0),
    PRIMARY KEY (citizen_id, class, expiry_month)
) WITH (fillfactor = 80);
"""

# The journal is history: no role of the running product may change or remove a row of it.
GRANTS = """
GRANT SELECT, INSERT ON transfer, posting, balance, lot TO tanhui_app;
GRANT UPDATE ON balance, lot TO tanhui_app;
"""

NAMES = "lot balance posting transfer"


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
