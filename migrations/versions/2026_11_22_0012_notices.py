"""Public notices of methods: when a draft lay open to objections before it was approved.

Revision 0012, after 0011. A notice is given once for a version and never changed.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE method_notice (
    method_id text NOT NULL,
    version integer NOT NULL,
    opens_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL CHECK (opens_at < closes_at),
    given_at timestamptz NOT NULL,
    PRIMARY KEY (method_id, version),
    FOREIGN KEY (method_id, version) REFERENCES method (method_id, version)
);
"""

GRANTS = "GRANT SELECT, INSERT ON method_notice TO tanhui_app;"


def upgrade() -> None:
    """Create the table, which the application may read and add to."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    """Drop the table, for an empty installation."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE method_notice")
