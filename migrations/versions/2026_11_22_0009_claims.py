"""Claims on a person's time, corrections of events, and what lost its standing because of either.

Revision 0009, after 0008. All four tables are insert-only for the application.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# `claim` has one index, its key: it is asked for a person and a stretch of time, nothing else.
# `supersession` names the event that stands instead; `award_release` an award whose points no
# longer count towards caps, with an id that tells when, between the ids of awards.
TABLES = """
CREATE TABLE claim (
    citizen_id uuid NOT NULL,
    ends_at timestamptz NOT NULL,
    evidence_id uuid NOT NULL,
    starts_at timestamptz NOT NULL CHECK (starts_at <= ends_at),
    scenario text NOT NULL,
    quantity bigint,
    place bytea,
    PRIMARY KEY (citizen_id, ends_at, evidence_id)
);

CREATE TABLE correction (
    evidence_id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('corrects', 'retracts')),
    of_evidence_id uuid NOT NULL,
    root_id uuid NOT NULL,
    n integer NOT NULL CHECK (n >= 1),
    CONSTRAINT correction_chain_key UNIQUE (root_id, n),
    CHECK (of_evidence_id <> evidence_id AND root_id <> evidence_id)
);

CREATE TABLE supersession (
    evidence_id uuid PRIMARY KEY,
    reason text NOT NULL CHECK (reason IN ('corrected', 'retracted', 'double-claim')),
    by_evidence_id uuid NOT NULL CHECK (by_evidence_id <> evidence_id),
    superseded_at timestamptz NOT NULL
);

CREATE TABLE award_release (
    award_id uuid PRIMARY KEY,
    release_id uuid NOT NULL UNIQUE,
    released_at timestamptz NOT NULL
);

-- A retraction is neither refused nor awarded: it was applied.
ALTER TABLE decision DROP CONSTRAINT decision_state_check;
ALTER TABLE decision ADD CONSTRAINT decision_state_check
    CHECK (state IN ('refused', 'awarded', 'applied')) NOT VALID;
"""

GRANTS = "GRANT SELECT, INSERT ON claim, correction, supersession, award_release TO tanhui_app;"


def upgrade() -> None:
    """Create the tables and their rights."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    """Drop the tables, for an empty installation."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE decision DROP CONSTRAINT decision_state_check")
    op.execute(
        "ALTER TABLE decision ADD CONSTRAINT decision_state_check"
        " CHECK (state IN ('refused', 'awarded'))"
    )
    for name in ["award_release", "supersession", "correction", "claim"]:
        op.execute(f"DROP TABLE {name}")
