"""Officials: roles, signing keys, sign-in, requests that two persons settle, the audit log.

Revision 0013, after 0012. An official is of one kind for ever, business or system, and a role
refers to official and kind together: no account can hold a system role with a business role.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE official ADD COLUMN kind text NOT NULL DEFAULT 'business'
    CONSTRAINT official_kind_known CHECK (kind IN ('business', 'system'));
ALTER TABLE official ALTER COLUMN kind DROP DEFAULT;
ALTER TABLE official ADD COLUMN suspended_at timestamptz;
ALTER TABLE official ADD CONSTRAINT official_kind_key UNIQUE (official_id, kind);

CREATE TABLE official_role (
    official_id text NOT NULL,
    role text NOT NULL,
    kind text NOT NULL,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (official_id, role),
    FOREIGN KEY (official_id, kind) REFERENCES official (official_id, kind),
    CONSTRAINT official_role_of_its_kind CHECK (
        kind = 'business'
            AND role IN ('drafter', 'approver', 'finance', 'auditor', 'partner_manager')
        OR kind = 'system' AND role IN ('system_admin', 'security_admin', 'audit_admin'))
);
-- The three administrators are three persons.
CREATE UNIQUE INDEX official_role_one_system_idx ON official_role (official_id)
    WHERE kind = 'system';

CREATE TABLE official_key (
    address text PRIMARY KEY CHECK (address ~ '^0x[0-9a-f]{40}$'),
    official_id text NOT NULL REFERENCES official (official_id),
    keystore_sealed bytea,
    added_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE UNIQUE INDEX official_key_standing_idx ON official_key (official_id)
    WHERE ended_at IS NULL;

INSERT INTO official_role (official_id, role, kind, granted_at)
    SELECT official_id, CASE role WHEN 'operator' THEN 'partner_manager' ELSE role END,
           'business', created_at FROM official;
INSERT INTO official_key (address, official_id, added_at)
    SELECT address, official_id, created_at FROM official;
ALTER TABLE official DROP COLUMN role, DROP COLUMN address;

CREATE TABLE official_access (
    official_id text PRIMARY KEY REFERENCES official (official_id),
    password_hash text NOT NULL,
    totp_sealed bytea NOT NULL,
    totp_step_last bigint NOT NULL,
    set_at timestamptz NOT NULL
);

CREATE TABLE official_session (
    session_id uuid PRIMARY KEY,
    official_id text NOT NULL REFERENCES official (official_id),
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX official_session_official_idx ON official_session (official_id)
    WHERE revoked_at IS NULL;

-- Tries at a name, whether or not somebody has it, so that the answers tell nobody who does.
CREATE TABLE sign_in_guard (
    user_name text PRIMARY KEY,
    tries integer NOT NULL CHECK (tries > 0),
    tried_at timestamptz NOT NULL,
    locked_until timestamptz
);

CREATE TABLE official_request (
    request_id uuid PRIMARY KEY,
    act text NOT NULL
        CHECK (act IN ('enrol', 'grant', 'revoke', 'reset', 'suspend', 'restore')),
    official_id text NOT NULL,
    name text,
    role text,
    reason text NOT NULL,
    asker_half bytea,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'confirmed', 'refused')),
    settled_by text,
    settled_at timestamptz,
    CONSTRAINT official_request_two_persons CHECK (
        settled_by <> asked_by AND settled_by <> official_id AND asked_by <> official_id),
    CHECK ((state = 'open') = (settled_by IS NULL AND settled_at IS NULL)),
    CHECK ((act IN ('enrol', 'grant', 'revoke')) = (role IS NOT NULL)),
    CHECK ((act = 'enrol') = (name IS NOT NULL))
);
CREATE INDEX official_request_about_idx ON official_request (official_id, settled_at);

CREATE TABLE official_activation (
    activation_id uuid PRIMARY KEY,
    official_id text NOT NULL REFERENCES official (official_id),
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    totp_sealed bytea NOT NULL,
    made_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX official_activation_official_idx ON official_activation (official_id)
    WHERE used_at IS NULL;

CREATE TABLE audit_entry (
    entry_id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    act text NOT NULL,
    about text NOT NULL,
    detail jsonb NOT NULL
);
CREATE INDEX audit_entry_at_idx ON audit_entry (at, entry_id);
CREATE INDEX audit_entry_about_idx ON audit_entry (about, entry_id);
CREATE INDEX audit_entry_actor_idx ON audit_entry (actor, entry_id);

CREATE TABLE audit_day (
    city_day date PRIMARY KEY,
    head_id uuid NOT NULL UNIQUE,
    opens_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL,
    entry_count bigint NOT NULL CHECK (entry_count >= 0),
    head bytea NOT NULL CHECK (octet_length(head) = 32),
    closed_at timestamptz NOT NULL,
    CHECK (opens_at < closes_at AND closes_at <= closed_at)
);
"""

# Requests, keys and what was noted are history; what may change of them is named.
GRANTS = """
REVOKE UPDATE ON official FROM tanhui_app;
GRANT UPDATE (suspended_at) ON official TO tanhui_app;
GRANT SELECT, INSERT, DELETE ON official_role TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (keystore_sealed, ended_at) ON official_key TO tanhui_app;
GRANT SELECT, INSERT, UPDATE ON official_access TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (expires_at, revoked_at) ON official_session TO tanhui_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_guard TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (state, settled_by, settled_at) ON official_request TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (used_at) ON official_activation TO tanhui_app;
GRANT SELECT, INSERT ON audit_entry, audit_day TO tanhui_app;
"""

BACK = """
ALTER TABLE official ADD COLUMN role text, ADD COLUMN address text;
UPDATE official AS o SET
    role = (SELECT min(role) FROM official_role AS r WHERE r.official_id = o.official_id),
    address = (SELECT address FROM official_key AS k
               WHERE k.official_id = o.official_id ORDER BY added_at DESC LIMIT 1);
DELETE FROM official WHERE role IS NULL OR address IS NULL;
ALTER TABLE official ALTER COLUMN role SET NOT NULL, ALTER COLUMN address SET NOT NULL,
    ADD CONSTRAINT official_address_key UNIQUE (address),
    ADD CONSTRAINT official_address_check CHECK (address ~ '^0x[0-9a-f]{40}$'),
    DROP COLUMN suspended_at, DROP COLUMN kind CASCADE;
GRANT UPDATE ON official TO tanhui_app;
"""

NAMES = (
    "audit_day audit_entry official_activation official_request sign_in_guard official_session"
    " official_access official_key official_role"
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    *others, keys, roles = NAMES.split()
    for name in others:
        op.execute(f"DROP TABLE {name}")
    op.execute(f"ALTER TABLE {roles} DROP CONSTRAINT official_role_official_id_kind_fkey")
    op.execute(f"ALTER TABLE {keys} DROP CONSTRAINT official_key_official_id_fkey")
    op.execute(BACK)
    op.execute(f"DROP TABLE {keys}")
    op.execute(f"DROP TABLE {roles}")
