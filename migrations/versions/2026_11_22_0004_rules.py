"""Methods, programmes with their budgets and rules, approvals, counters and awards."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE method (
    method_id text NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    status text NOT NULL CHECK (status IN ('approved', 'provisional')),
    document bytea NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    day_from date NOT NULL,
    day_to date CHECK (day_from <= day_to),
    enacted_at timestamptz,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (method_id, version)
);

CREATE TABLE programme (
    programme_id text PRIMARY KEY,
    name text NOT NULL,
    class text NOT NULL,
    day_from date NOT NULL,
    day_to date CHECK (day_from < day_to),
    budget_period text NOT NULL CHECK (budget_period IN ('total', 'year')),
    expiry_months integer NOT NULL CHECK (expiry_months BETWEEN 1 AND 120),
    created_at timestamptz NOT NULL
);

CREATE TABLE budget (
    programme_id text NOT NULL REFERENCES programme (programme_id),
    period text NOT NULL,
    envelope bigint NOT NULL CHECK (envelope >= 0),
    issued bigint NOT NULL DEFAULT 0 CHECK (issued >= 0),
    leased bigint NOT NULL DEFAULT 0 CHECK (leased >= 0),
    closed_at timestamptz,
    PRIMARY KEY (programme_id, period),
    CONSTRAINT budget_envelope_holds CHECK (issued + leased <= envelope)
);

CREATE TABLE budget_purse (
    purse_id uuid PRIMARY KEY,
    programme_id text NOT NULL,
    period text NOT NULL,
    leased bigint NOT NULL CHECK (leased >= 0),
    spent bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    CONSTRAINT budget_purse_holds CHECK (spent <= leased),
    FOREIGN KEY (programme_id, period) REFERENCES budget (programme_id, period)
);
CREATE INDEX budget_purse_budget_idx ON budget_purse (programme_id, period);

CREATE TABLE rule (
    rule_id text NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    programme_id text NOT NULL REFERENCES programme (programme_id),
    document bytea NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    day_from date NOT NULL,
    day_to date CHECK (day_from <= day_to),
    status text NOT NULL CHECK (status IN ('draft', 'approved', 'enacted', 'stopped')),
    enacted_at timestamptz,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (rule_id, version)
);
CREATE INDEX rule_programme_idx ON rule (programme_id);

CREATE TABLE approval (
    approval_id uuid PRIMARY KEY,
    what smallint NOT NULL CHECK (what IN (1, 2)),
    id text NOT NULL,
    version integer NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    official_id text NOT NULL,
    address text NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 65),
    approved_at timestamptz NOT NULL,
    CONSTRAINT approval_once_key UNIQUE (what, id, version, address)
);

CREATE TABLE enactment (
    enactment_id uuid PRIMARY KEY,
    what text NOT NULL CHECK (what IN ('rule', 'method', 'stop')),
    id text NOT NULL,
    version integer NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    day_from date NOT NULL,
    day_to date,
    approvers text[] NOT NULL,
    tx_hash bytea,
    enacted_at timestamptz NOT NULL
);
CREATE INDEX enactment_document_idx ON enactment (id, version);

CREATE TABLE counter (
    citizen_id uuid NOT NULL,
    programme_id text NOT NULL,
    name text NOT NULL,
    period text NOT NULL,
    value bigint NOT NULL CHECK (value >= 0),
    PRIMARY KEY (citizen_id, programme_id, name, period)
) WITH (fillfactor = 80);

CREATE TABLE award (
    award_id uuid PRIMARY KEY,
    evidence_id uuid NOT NULL,
    programme_id text NOT NULL,
    citizen_id uuid NOT NULL,
    city_day date NOT NULL,
    rule_id text NOT NULL,
    rule_version integer NOT NULL,
    rule_digest bytea NOT NULL,
    rule_rows text[] NOT NULL,
    points_before_caps bigint NOT NULL,
    amount bigint NOT NULL,
    class text NOT NULL,
    method_id text NOT NULL,
    method_version integer NOT NULL,
    method_digest bytea NOT NULL,
    method_status text NOT NULL,
    scenario text NOT NULL,
    evidence_level text NOT NULL,
    origin text NOT NULL,
    reduction_mg bigint NOT NULL,
    inputs jsonb NOT NULL,
    stated jsonb NOT NULL,
    cut_by text,
    transfer_id uuid,
    awarded_at timestamptz NOT NULL,
    CONSTRAINT award_once_key UNIQUE (evidence_id, programme_id),
    CONSTRAINT award_amount_holds CHECK (amount BETWEEN 0 AND points_before_caps),
    CONSTRAINT award_transfer_holds CHECK ((amount > 0) = (transfer_id IS NOT NULL))
);
CREATE UNIQUE INDEX award_transfer_idx ON award (transfer_id) WHERE transfer_id IS NOT NULL;
"""

# Documents, approvals, enactments and awards are history: the app adds rows and may set only
# the named columns, which say where a document stands. The rest is state.
GRANTS = """
GRANT SELECT, INSERT ON method, programme, budget, budget_purse, rule, approval, enactment,
    counter, award TO tanhui_app;
GRANT UPDATE (day_to, enacted_at) ON method TO tanhui_app;
GRANT UPDATE (day_to, status, enacted_at) ON rule TO tanhui_app;
GRANT UPDATE (day_to) ON programme TO tanhui_app;
GRANT UPDATE (tx_hash) ON enactment TO tanhui_app;
GRANT UPDATE ON budget, budget_purse, counter TO tanhui_app;
GRANT DELETE ON budget_purse TO tanhui_app;
"""

NAMES = "award counter enactment approval rule budget_purse budget programme method"


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
