"""Parking money: orders, notices, refunds, splits as statement lines, payouts, files compared.

Revision 0021, after 0020. Money moves through the journal of 0005: a `money_transfer` has its
postings in `posting` and its balances in `balance`, asset CNY, in fen. The `sandbox_*` tables are
the sandbox rail's own books, which only its code reads.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

MONEY = """
CREATE TABLE money_transfer (
    transfer_id uuid PRIMARY KEY,
    act text NOT NULL
        CHECK (act IN ('charge', 'split', 'refund', 'payout')),
    amount bigint NOT NULL CHECK (amount > 0),
    city_day date NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX money_transfer_day_idx ON money_transfer (city_day, act);

CREATE TABLE payment_order (
    order_id uuid PRIMARY KEY,
    stay_id uuid NOT NULL,
    lot_no bigint NOT NULL,
    citizen_id uuid,
    owner_id text,
    rail_id text NOT NULL,
    amount_fen bigint NOT NULL CHECK (amount_fen > 0),
    state text NOT NULL CHECK (state IN ('open', 'paid', 'closed')),
    rail_ref text,
    created_at timestamptz NOT NULL,
    paid_at timestamptz,
    book_day date NOT NULL,
    settled_part integer,
    refunded_fen bigint NOT NULL DEFAULT 0,
    CHECK ((state = 'paid') = (paid_at IS NOT NULL)),
    CHECK (refunded_fen BETWEEN 0 AND amount_fen)
);
CREATE INDEX payment_order_stay_idx ON payment_order (stay_id);
CREATE INDEX payment_order_citizen_idx ON payment_order (citizen_id, order_id)
    WHERE citizen_id IS NOT NULL;
CREATE INDEX payment_order_unsettled_idx ON payment_order (book_day, lot_no)
    WHERE state = 'paid' AND settled_part IS NULL;
CREATE INDEX payment_order_open_idx ON payment_order (created_at) WHERE state = 'open';
CREATE INDEX payment_order_book_idx ON payment_order (book_day);

CREATE TABLE rail_notice (
    rail_id text NOT NULL,
    notice_id text NOT NULL,
    digest bytea NOT NULL,
    kind text NOT NULL,
    order_id uuid NOT NULL,
    amount_fen bigint NOT NULL,
    outcome text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (rail_id, notice_id)
);

CREATE TABLE refund (
    refund_id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES payment_order (order_id),
    amount_fen bigint NOT NULL CHECK (amount_fen > 0),
    frozen_fen bigint NOT NULL,
    returned_fen bigint NOT NULL,
    debt_fen bigint NOT NULL,
    reason text NOT NULL,
    city_day date NOT NULL,
    made_at timestamptz NOT NULL,
    settled_part integer,
    CHECK (frozen_fen + returned_fen + debt_fen = amount_fen)
);
CREATE INDEX refund_order_idx ON refund (order_id);
CREATE INDEX refund_unsettled_idx ON refund (city_day) WHERE settled_part IS NULL;

CREATE TABLE refund_part (
    refund_id uuid NOT NULL REFERENCES refund (refund_id),
    party_id text NOT NULL,
    amount_fen bigint NOT NULL CHECK (amount_fen >= 0),
    PRIMARY KEY (refund_id, party_id)
);

ALTER TABLE balance ADD CONSTRAINT balance_money_not_below_zero CHECK (
    input >= output OR (account NOT LIKE 'rail:%:frozen' AND account NOT LIKE 'party:%:payable'));
"""

SETTLEMENT = """
CREATE TABLE settlement (
    lot_no bigint NOT NULL,
    day date NOT NULL,
    part integer NOT NULL CHECK (part >= 0),
    order_count bigint NOT NULL,
    charged_fen bigint NOT NULL,
    refunded_fen bigint NOT NULL,
    merchant_id text NOT NULL REFERENCES party (party_id),
    closed_at timestamptz NOT NULL,
    tx_id uuid,
    tx_hash bytea,
    block bigint,
    final_at timestamptz,
    PRIMARY KEY (lot_no, day, part)
);
CREATE INDEX settlement_waiting_idx ON settlement (closed_at) WHERE final_at IS NULL;
CREATE INDEX settlement_day_idx ON settlement (day);

CREATE TABLE settlement_line (
    order_id uuid NOT NULL,
    source_id uuid NOT NULL,
    party_id text NOT NULL,
    lot_no bigint NOT NULL,
    day date NOT NULL,
    part integer NOT NULL,
    contract_version integer NOT NULL,
    share_bp integer NOT NULL,
    charge_fen bigint NOT NULL,
    amount_fen bigint NOT NULL,
    PRIMARY KEY (source_id, party_id)
);
CREATE INDEX settlement_line_statement_idx ON settlement_line (lot_no, day, part, party_id);
CREATE INDEX settlement_line_order_idx ON settlement_line (order_id);

CREATE TABLE party_statement (
    lot_no bigint NOT NULL,
    day date NOT NULL,
    part integer NOT NULL,
    party_id text NOT NULL REFERENCES party (party_id),
    count bigint NOT NULL,
    total_fen bigint NOT NULL,
    root bytea NOT NULL,
    PRIMARY KEY (lot_no, day, part, party_id),
    FOREIGN KEY (lot_no, day, part) REFERENCES settlement (lot_no, day, part)
);
CREATE INDEX party_statement_party_idx ON party_statement (party_id, day);

CREATE TABLE party_cosignature (
    lot_no bigint NOT NULL,
    day date NOT NULL,
    part integer NOT NULL,
    party_id text NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL,
    cosigned_at timestamptz NOT NULL,
    PRIMARY KEY (lot_no, day, part, party_id),
    FOREIGN KEY (lot_no, day, part, party_id)
        REFERENCES party_statement (lot_no, day, part, party_id)
);

CREATE TABLE line_dispute (
    dispute_id uuid PRIMARY KEY,
    party_id text NOT NULL,
    source_id uuid NOT NULL,
    reason text NOT NULL,
    opened_at timestamptz NOT NULL,
    resolved_at timestamptz,
    resolution text,
    FOREIGN KEY (source_id, party_id) REFERENCES settlement_line (source_id, party_id),
    UNIQUE (source_id, party_id)
);

CREATE TABLE payout (
    payout_id uuid PRIMARY KEY,
    party_id text NOT NULL REFERENCES party (party_id),
    day date NOT NULL,
    amount_fen bigint NOT NULL CHECK (amount_fen >= 0),
    repaid_fen bigint NOT NULL CHECK (repaid_fen >= 0),
    made_at timestamptz NOT NULL,
    UNIQUE (party_id, day)
);

CREATE TABLE compared_file (
    file_id uuid PRIMARY KEY,
    source text NOT NULL CHECK (source IN ('operator', 'rail')),
    source_id text NOT NULL,
    day date NOT NULL,
    digest bytea NOT NULL,
    good_rows integer NOT NULL,
    bad_rows jsonb NOT NULL,
    compared_at timestamptz NOT NULL,
    UNIQUE (source, source_id, day, digest)
);

CREATE TABLE compared_row (
    file_id uuid NOT NULL REFERENCES compared_file (file_id),
    n integer NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('match', 'ours-only', 'theirs-only', 'differs')),
    order_ref text NOT NULL,
    ours_fen bigint,
    theirs_fen bigint,
    resolved_at timestamptz,
    resolution text,
    PRIMARY KEY (file_id, n)
);
CREATE INDEX compared_row_open_idx ON compared_row (file_id)
    WHERE outcome <> 'match' AND resolved_at IS NULL;
"""

SANDBOX = """
CREATE TABLE sandbox_charge (
    order_ref uuid PRIMARY KEY,
    rail_ref text NOT NULL UNIQUE,
    amount_fen bigint NOT NULL,
    frozen_fen bigint NOT NULL,
    refunded_fen bigint NOT NULL DEFAULT 0,
    paid_at timestamptz NOT NULL,
    unfrozen_at timestamptz
);
CREATE INDEX sandbox_charge_day_idx ON sandbox_charge (paid_at);

CREATE TABLE sandbox_split (
    order_ref uuid NOT NULL REFERENCES sandbox_charge (order_ref),
    request_no integer NOT NULL,
    receiver text NOT NULL,
    amount_fen bigint NOT NULL,
    merchant boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('done', 'failed', 'returned')),
    PRIMARY KEY (order_ref, request_no, receiver)
);

CREATE TABLE sandbox_notice (
    notice_id text PRIMARY KEY,
    order_ref uuid NOT NULL,
    body bytea NOT NULL,
    due_at timestamptz NOT NULL,
    copies integer NOT NULL,
    sent integer NOT NULL DEFAULT 0
);
CREATE INDEX sandbox_notice_due_idx ON sandbox_notice (due_at) WHERE sent < copies;
"""

GRANTS = """
GRANT SELECT, INSERT ON money_transfer, rail_notice, refund_part, settlement_line, party_statement,
    party_cosignature, payout, compared_file TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (settled_part) ON refund TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (amount_fen, owner_id, state, rail_ref, paid_at, book_day,
    settled_part, refunded_fen) ON payment_order TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (tx_id, tx_hash, block, final_at) ON settlement TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (resolved_at, resolution) ON line_dispute, compared_row TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (frozen_fen, refunded_fen, unfrozen_at) ON sandbox_charge
    TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (state) ON sandbox_split TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (sent) ON sandbox_notice TO tanhui_app;
"""

NAMES = (
    "sandbox_notice sandbox_split sandbox_charge compared_row compared_file payout"
    " line_dispute party_cosignature party_statement settlement_line settlement refund_part refund"
    " rail_notice payment_order money_transfer"
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for sql in (MONEY, SETTLEMENT, SANDBOX, GRANTS):
        op.execute(sql)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE balance DROP CONSTRAINT balance_money_not_below_zero")
    for name in NAMES.split():
        op.execute(f"DROP TABLE {name}")
