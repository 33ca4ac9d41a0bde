"""Roles of the database and the outbox.

Revision 0001, the first. Three roles share the database: its owner runs migrations; `tanhui_app`
serves and works, and may change or delete rows of state tables only; `tanhui_eraser` may delete
what a person's deletion removes. Every later file ends with the grants of its own tables, so a
table nobody granted is closed to both.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The embedded server has these roles already, as logins of their own. On a managed server the
# migrating login makes them and becomes a member, so that it can take them on with SET ROLE.
ROLES = """
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['tanhui_app', 'tanhui_eraser'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;  -- another database of this server was migrated at the same moment
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'role % is missing and % may not create it',
                        wanted, current_user
                        USING HINT = format(
                            'Have an administrator run: CREATE ROLE %I; GRANT %I TO %I;',
                            wanted, wanted, current_user);
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
            BEGIN
                EXECUTE format('GRANT %I TO %I', wanted, current_user);
            EXCEPTION
                WHEN insufficient_privilege THEN
                    NULL;  -- the roles are logins of their own, which is the stricter way
            END;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', wanted);
    END LOOP;
END
$$
"""

OUTBOX = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    payload jsonb NOT NULL,
    available_at timestamptz NOT NULL DEFAULT now(),
    attempts bigint NOT NULL DEFAULT 0,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now()
-- Rows live for moments: without early vacuuming `take` would walk over the dead ones.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE INDEX outbox_topic_id ON outbox (topic, id);

GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO tanhui_app;
GRANT SELECT ON alembic_version TO tanhui_app
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(ROLES)
    op.execute(OUTBOX)


def downgrade() -> None:
    op.execute("DROP TABLE outbox")
