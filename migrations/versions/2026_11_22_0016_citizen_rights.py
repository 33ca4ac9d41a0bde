"""What citizens can ask for: notices, devices, a phone, consent receipts, shares, erasure.

Revision 0016, after 0015. What names a person is sealed and stands in tables of its own, from
which the eraser may delete; who looked at a person's data, and what they consented to, only grows.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE login ADD COLUMN device text;
CREATE INDEX login_citizen_idx ON login (citizen_id, login_id);

CREATE TABLE citizen_identity (
    citizen_id uuid PRIMARY KEY REFERENCES citizen (citizen_id),
    openid_sealed bytea,
    phone_sealed bytea,
    phone_hash bytea CONSTRAINT citizen_identity_phone_key UNIQUE,
    phone_bound_at timestamptz,
    risk text,
    under_14 boolean,
    declared_at timestamptz,
    CHECK ((phone_sealed IS NULL) = (phone_hash IS NULL))
);

CREATE TABLE citizen_setting (
    citizen_id uuid PRIMARY KEY REFERENCES citizen (citizen_id),
    quiet_from_min smallint NOT NULL CHECK (quiet_from_min BETWEEN 0 AND 1439),
    quiet_to_min smallint NOT NULL CHECK (quiet_to_min BETWEEN 0 AND 1439),
    push boolean NOT NULL,
    ranking boolean NOT NULL,
    goal_mg bigint CHECK (goal_mg > 0)
);

CREATE TABLE citizen_notice (
    notice_id uuid PRIMARY KEY,
    citizen_id uuid NOT NULL,
    topic text NOT NULL,
    about uuid,
    facts jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    read_at timestamptz,
    push_due_at timestamptz,
    push_state text CHECK (push_state IN ('waiting', 'sent', 'failed'))
);
CREATE INDEX citizen_notice_citizen_idx ON citizen_notice (citizen_id, notice_id);
CREATE INDEX citizen_notice_push_idx ON citizen_notice (push_due_at)
    WHERE push_state = 'waiting';

CREATE TABLE push_grant (
    citizen_id uuid NOT NULL,
    topic text NOT NULL,
    times_left integer NOT NULL CHECK (times_left >= 0),
    PRIMARY KEY (citizen_id, topic)
);

CREATE TABLE consent_receipt (
    consent_id uuid PRIMARY KEY REFERENCES consent (consent_id),
    text_version text NOT NULL,
    text_digest bytea NOT NULL CHECK (octet_length(text_digest) = 32),
    sensitive boolean NOT NULL,
    given_at timestamptz NOT NULL
);

CREATE TABLE share (
    share_id text PRIMARY KEY CHECK (share_id ~ '^[A-Za-z0-9_-]{21}[AQgw]$'),
    citizen_id uuid NOT NULL,
    transfer_id uuid NOT NULL,
    ciphertext bytea,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX share_citizen_idx ON share (citizen_id, created_at);
CREATE INDEX share_expiry_idx ON share (expires_at) WHERE ciphertext IS NOT NULL;

CREATE TABLE citizen_access (
    access_id uuid PRIMARY KEY,
    citizen_id uuid NOT NULL,
    who text NOT NULL,
    what text NOT NULL,
    why text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX citizen_access_citizen_idx ON citizen_access (citizen_id, access_id);

CREATE TABLE erasure (
    citizen_id uuid PRIMARY KEY REFERENCES citizen (citizen_id),
    state text NOT NULL CHECK (state IN ('asked', 'retired', 'erased')),
    asked_at timestamptz NOT NULL,
    retired_at timestamptz,
    erased_at timestamptz
);
CREATE INDEX erasure_open_idx ON erasure (asked_at) WHERE state <> 'erased';
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON citizen_identity, citizen_setting, push_grant TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (read_at, push_due_at, push_state) ON citizen_notice TO tanhui_app;
GRANT SELECT, INSERT ON consent_receipt, citizen_access TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (ciphertext, revoked_at) ON share TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (state, retired_at, erased_at) ON erasure TO tanhui_app;

GRANT SELECT, DELETE ON citizen_identity, citizen_setting, citizen_notice, push_grant, share,
    binding, binding_code, login, idempotent_answer TO tanhui_eraser;
GRANT UPDATE (provider_ref_hash, erased_at) ON citizen TO tanhui_eraser;
GRANT SELECT, UPDATE (state, erased_at) ON erasure TO tanhui_eraser;
GRANT SELECT ON transfer TO tanhui_eraser;
"""

NAMES = (
    "erasure citizen_access share consent_receipt push_grant citizen_notice citizen_setting"
    " citizen_identity"
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in NAMES.split():
        op.execute(f"DROP TABLE {name}")
    op.execute("DROP INDEX login_citizen_idx")
    op.execute("ALTER TABLE login DROP COLUMN device")
