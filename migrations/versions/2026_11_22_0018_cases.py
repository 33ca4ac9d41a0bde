"""Cases: what citizens appeal against or want corrected, what officials want back, and decisions.

Revision 0018, after 0017. The steps of a case only grow; a citizen's words are sealed and go when
the citizen goes.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE case_file (
    case_id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('appeal', 'correction', 'clawback')),
    citizen_id uuid NOT NULL,
    about_kind text NOT NULL CHECK (about_kind IN ('activity', 'redemption', 'movement', 'data')),
    about uuid,
    words_sealed bytea,
    state text NOT NULL CHECK (state IN ('open', 'decided', 'withdrawn')),
    officer text,
    deadline date NOT NULL,
    opened_at timestamptz NOT NULL,
    outcome text CHECK (outcome IN ('upheld', 'rejected')),
    reason text,
    remedy text CHECK (remedy IN ('none', 'partner', 'refund', 'reverse')),
    counter_transfer uuid,
    decided_at timestamptz,
    CHECK ((state = 'decided') = (outcome IS NOT NULL)),
    CHECK ((about_kind = 'data') = (about IS NULL))
);
CREATE INDEX case_file_citizen_idx ON case_file (citizen_id, case_id);
CREATE INDEX case_file_open_idx ON case_file (deadline, case_id) WHERE state = 'open';
CREATE UNIQUE INDEX case_file_about_once ON case_file (kind, about)
    WHERE state = 'open' AND about IS NOT NULL;

CREATE TABLE case_step (
    case_id uuid NOT NULL REFERENCES case_file (case_id),
    n integer NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    act text NOT NULL,
    words text,
    PRIMARY KEY (case_id, n)
);
"""

GRANTS = """
GRANT SELECT, INSERT,
    UPDATE (state, officer, outcome, reason, remedy, counter_transfer, decided_at)
    ON case_file TO tanhui_app;
GRANT SELECT, INSERT ON case_step TO tanhui_app;
GRANT SELECT, UPDATE (words_sealed) ON case_file TO tanhui_eraser;
"""

NAMES = "case_step case_file"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in NAMES.split():
        op.execute(f"DROP TABLE {name}")
