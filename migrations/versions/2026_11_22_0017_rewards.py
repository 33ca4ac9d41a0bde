"""Holds of points, the catalogue of rewards, codes to hand out, and redemptions.

Revision 0017, after 0016. A redemption, its hold and its transfer share one id. A reward's price
is copied to the redemption, so that a later price changes nothing that was agreed.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE hold (
    hold_id uuid PRIMARY KEY,
    citizen_id uuid NOT NULL,
    class text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    state text NOT NULL CHECK (state IN ('open', 'posted', 'voided')),
    held_at timestamptz NOT NULL,
    settled_at timestamptz,
    CHECK ((state = 'open') = (settled_at IS NULL))
);
CREATE INDEX hold_open_idx ON hold (citizen_id, class) WHERE state = 'open';
CREATE UNIQUE INDEX transfer_refunded_once ON transfer (of_transfer) WHERE act = 'refund';
CREATE INDEX lot_lapsing_idx ON lot (expiry_month, citizen_id) WHERE open > 0;

CREATE TABLE points_policy (
    class text PRIMARY KEY,
    jurisdiction text NOT NULL,
    debit text NOT NULL CHECK (debit IN ('holder', 'nobody')),
    cash_out boolean NOT NULL,
    set_at timestamptz NOT NULL
);

CREATE TABLE reward (
    reward_id text PRIMARY KEY CHECK (reward_id ~ '^[a-z][a-z0-9.-]{0,31}$'),
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('coupon', 'transit', 'ecny', 'tree')),
    supplier text NOT NULL,
    class text NOT NULL,
    price_points bigint NOT NULL CHECK (price_points > 0),
    face_fen bigint CHECK (face_fen > 0),
    stock integer NOT NULL CHECK (stock >= 0),
    per_person integer CHECK (per_person > 0),
    valid_days integer CHECK (valid_days > 0),
    terms text NOT NULL,
    day_from date NOT NULL,
    day_to date CHECK (day_to > day_from),
    refundable boolean NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE reward_code (
    code_id uuid PRIMARY KEY,
    reward_id text NOT NULL REFERENCES reward (reward_id),
    code_sealed bytea NOT NULL,
    redemption_id uuid CONSTRAINT reward_code_redemption_key UNIQUE,
    loaded_at timestamptz NOT NULL
);
CREATE INDEX reward_code_free_idx ON reward_code (reward_id, code_id) WHERE redemption_id IS NULL;

CREATE TABLE redemption (
    redemption_id uuid PRIMARY KEY,
    citizen_id uuid NOT NULL,
    reward_id text NOT NULL REFERENCES reward (reward_id),
    class text NOT NULL,
    price_points bigint NOT NULL CHECK (price_points > 0),
    state text NOT NULL CHECK (state IN ('held', 'unknown', 'posted', 'voided', 'refunded')),
    reason text,
    code_sealed bytea,
    supplier_ref text,
    valid_to date,
    tries integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    settled_at timestamptz
);
CREATE INDEX redemption_citizen_idx ON redemption (citizen_id, redemption_id);
CREATE INDEX redemption_due_idx ON redemption (due_at) WHERE state IN ('held', 'unknown');
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE (state, settled_at) ON hold TO tanhui_app;
GRANT SELECT, INSERT, UPDATE ON points_policy, reward TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (redemption_id) ON reward_code TO tanhui_app;
GRANT SELECT, INSERT,
    UPDATE (state, reason, code_sealed, supplier_ref, valid_to, tries, due_at, settled_at)
    ON redemption TO tanhui_app;
GRANT SELECT, DELETE ON reward_code TO tanhui_eraser;
GRANT SELECT, UPDATE (code_sealed, supplier_ref) ON redemption TO tanhui_eraser;
"""

NAMES = "redemption reward_code reward points_policy hold"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in NAMES.split():
        op.execute(f"DROP TABLE {name}")
    op.execute("DROP INDEX transfer_refunded_once")
    op.execute("DROP INDEX lot_lapsing_idx")
