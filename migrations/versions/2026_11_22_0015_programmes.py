"""Terms of programmes, who takes part under them, simulations of drafts, and alarms.

Revision 0015, after 0014. Terms and violations are history; facts about people can be erased.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE programme_terms (
    programme_id text NOT NULL REFERENCES programme (programme_id),
    version integer NOT NULL CHECK (version >= 1),
    day_from date NOT NULL,
    document bytea NOT NULL,
    recorded_by text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (programme_id, version)
);

CREATE TABLE eligibility_fact (
    citizen_id uuid NOT NULL,
    fact text NOT NULL CHECK (fact IN ('real_name', 'age_at_least', 'district', 'vehicle_class')),
    value text NOT NULL,
    attested_by text NOT NULL,
    attested_at timestamptz NOT NULL,
    PRIMARY KEY (citizen_id, fact)
);

CREATE TABLE programme_person (
    programme_id text NOT NULL REFERENCES programme (programme_id),
    citizen_id uuid NOT NULL,
    number bigint NOT NULL CHECK (number >= 1),
    PRIMARY KEY (programme_id, citizen_id),
    CONSTRAINT programme_person_number_key UNIQUE (programme_id, number)
);

CREATE TABLE violation (
    violation_id uuid PRIMARY KEY,
    programme_id text NOT NULL REFERENCES programme (programme_id),
    citizen_id uuid NOT NULL,
    kind text NOT NULL,
    evidence_id uuid,
    noted_by text NOT NULL,
    noted_at timestamptz NOT NULL,
    withdrawn_at timestamptz,
    withdrawn_by text,
    withdrawn_reason text
);
CREATE INDEX violation_person_idx ON violation (programme_id, citizen_id);

CREATE TABLE blacklisting (
    blacklisting_id uuid PRIMARY KEY,
    programme_id text NOT NULL REFERENCES programme (programme_id),
    citizen_id uuid NOT NULL,
    reason text NOT NULL,
    day_from date NOT NULL,
    day_to date CHECK (day_from < day_to),
    noted_by text NOT NULL,
    noted_at timestamptz NOT NULL,
    lifted_at timestamptz,
    lifted_by text,
    lifted_reason text
);
CREATE INDEX blacklisting_person_idx ON blacklisting (programme_id, citizen_id);

CREATE TABLE programme_alarm (
    alarm_id uuid PRIMARY KEY,
    programme_id text NOT NULL REFERENCES programme (programme_id),
    kind text NOT NULL CHECK (kind IN ('budget', 'velocity', 'concentration')),
    city_day date NOT NULL,
    detail jsonb NOT NULL,
    raised_at timestamptz NOT NULL,
    CONSTRAINT programme_alarm_once_key UNIQUE (programme_id, kind, city_day)
);

CREATE TABLE simulation (
    simulation_id uuid PRIMARY KEY,
    document bytea NOT NULL,
    day_from date NOT NULL,
    day_to date NOT NULL CHECK (day_from <= day_to),
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'cancelled', 'failed')),
    events_done bigint NOT NULL DEFAULT 0,
    events_total bigint NOT NULL DEFAULT 0,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL,
    begun_at timestamptz,
    seen_at timestamptz,
    ended_at timestamptz,
    outcome jsonb,
    error text
);
CREATE INDEX simulation_waiting_idx ON simulation (asked_at) WHERE state = 'waiting';
"""

GRANTS = """
GRANT SELECT, INSERT ON programme_terms, eligibility_fact, programme_person, violation,
    blacklisting, programme_alarm, simulation TO tanhui_app;
GRANT UPDATE (value, attested_by, attested_at) ON eligibility_fact TO tanhui_app;
GRANT UPDATE (withdrawn_at, withdrawn_by, withdrawn_reason) ON violation TO tanhui_app;
GRANT UPDATE (lifted_at, lifted_by, lifted_reason) ON blacklisting TO tanhui_app;
GRANT UPDATE (state, events_done, events_total, begun_at, seen_at, ended_at, outcome, error)
    ON simulation TO tanhui_app;
GRANT SELECT, DELETE ON eligibility_fact TO tanhui_eraser;
"""

NAMES = (
    "simulation programme_alarm blacklisting violation programme_person eligibility_fact "
    "programme_terms"
)


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
