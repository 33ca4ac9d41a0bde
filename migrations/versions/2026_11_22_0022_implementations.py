"""Chain: the code that upgrades put behind the contracts' proxies, each with its block.

Revision 0022, after 0021. The row of `deployment` says what stood there first; whatever followed is
a row here, and none is ever changed.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE implementation (
    name text NOT NULL REFERENCES deployment (name),
    block bigint NOT NULL,
    address text NOT NULL CHECK (address ~ '^0x[0-9a-f]{40}$'),
    code_hash bytea NOT NULL CHECK (length(code_hash) = 32),
    PRIMARY KEY (name, block)
);
"""

GRANTS = "GRANT SELECT, INSERT ON implementation TO tanhui_app"


def upgrade() -> None:
    """Create the table; the app's role may add rows and never change one."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLE)
    op.execute(GRANTS)


def downgrade() -> None:
    """Drop the table, for an empty installation."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE implementation")
