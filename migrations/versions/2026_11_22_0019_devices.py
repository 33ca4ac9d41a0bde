"""Devices at gates and bays: each with its own SM2 key, one purpose, and an end.

Revision 0019, after 0018. A device never gets another key: what replaces it is another device.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE device (
    device_id text PRIMARY KEY CHECK (device_id ~ '^[a-z][a-z0-9.-]{0,63}$'),
    operator_id text NOT NULL REFERENCES partner (partner_id),
    place text NOT NULL,
    lane text NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('gate', 'sensor')),
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 65),
    registered_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX device_place_idx ON device (place);
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE (revoked_at) ON device TO tanhui_app;
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE device")
