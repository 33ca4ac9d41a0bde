"""Chain: a refused batch whose leaves were cut again into smaller ones.

Revision 0023, after 0022. The refused row stays as history; only its state says that others have
taken its place.
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

STATES = "'prepared', 'final', 'refused'"


def upgrade() -> None:
    """Let a batch be `recut`."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    _allow(f"{STATES}, 'recut'")


def downgrade() -> None:
    """As before, where no batch was cut again."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    _allow(STATES)


def _allow(states: str) -> None:
    op.execute("ALTER TABLE chain_batch DROP CONSTRAINT chain_batch_state_check")
    op.execute(
        "ALTER TABLE chain_batch ADD CONSTRAINT chain_batch_state_check "
        f"CHECK (state IN ({states}))"
    )
