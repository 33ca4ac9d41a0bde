"""Monthly readings of meters, kept as the history that next year's months are compared with.

Revision 0008, after 0007. Insert-only for the application; the eraser may delete a person's rows,
since what somebody consumed is personal.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE reading (
    evidence_id uuid PRIMARY KEY,
    citizen_id uuid NOT NULL,
    partner_id text NOT NULL,
    meter_hash bytea NOT NULL CHECK (octet_length(meter_hash) = 32),
    month date NOT NULL CHECK (extract(day FROM month) = 1),
    energy_wh bigint NOT NULL,
    days smallint NOT NULL CHECK (days BETWEEN 28 AND 31),
    estimated boolean NOT NULL,
    base_evidence_id uuid
);
CREATE INDEX reading_history_idx ON reading (citizen_id, month);
"""

GRANTS = """
GRANT SELECT, INSERT ON reading TO tanhui_app;
GRANT SELECT, DELETE ON reading TO tanhui_eraser;
"""


def upgrade() -> None:
    """Create the table and its rights."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    """Drop the table, for an empty installation."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE reading")
