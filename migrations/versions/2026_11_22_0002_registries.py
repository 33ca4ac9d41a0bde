"""Registries: partners and their keys, officials, citizens, accounts, consents, bindings, logins.

Revision 0002, after 0001 (roles and outbox). Rows of other rooms are referred to by id only.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE partner (
    partner_id text PRIMARY KEY CHECK (partner_id ~ '^[a-z][a-z0-9.-]{0,31}$'),
    name text NOT NULL,
    required_scheme text NOT NULL CHECK (required_scheme IN ('v1', 'v1sm', 'v1s2')),
    scenarios text[] NOT NULL,
    replay boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);

CREATE TABLE partner_key (
    partner_id text NOT NULL REFERENCES partner (partner_id),
    key_id text NOT NULL,
    scheme text NOT NULL CHECK (scheme IN ('v1', 'v1sm', 'v1s2')),
    purpose text NOT NULL CHECK (purpose IN ('webhook', 'statement')),
    secret_sealed bytea,
    public_key bytea CHECK (octet_length(public_key) = 65),
    valid_from timestamptz NOT NULL,
    valid_to timestamptz,
    PRIMARY KEY (partner_id, key_id),
    CONSTRAINT partner_key_holds_one_key CHECK ((secret_sealed IS NULL) <> (public_key IS NULL))
);

CREATE TABLE official (
    official_id text PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL,
    address text NOT NULL CONSTRAINT official_address_key UNIQUE
        CHECK (address ~ '^0x[0-9a-f]{40}$'),
    created_at timestamptz NOT NULL
);

CREATE TABLE citizen (
    citizen_id uuid PRIMARY KEY,
    provider text NOT NULL,
    provider_ref_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    erased_at timestamptz,
    CONSTRAINT citizen_provider_ref_key UNIQUE (provider, provider_ref_hash)
);

CREATE TABLE citizen_secret (
    citizen_id uuid PRIMARY KEY REFERENCES citizen (citizen_id),
    secret_sealed bytea NOT NULL
);

CREATE TABLE citizen_account (
    citizen_id uuid NOT NULL,
    class text NOT NULL,
    account bytea NOT NULL CONSTRAINT citizen_account_account_key UNIQUE
        CHECK (octet_length(account) = 20),
    PRIMARY KEY (citizen_id, class)
);

CREATE TABLE consent (
    consent_id uuid PRIMARY KEY,
    citizen_id uuid NOT NULL,
    partner_id text NOT NULL,
    scenario text NOT NULL,
    given_at timestamptz NOT NULL CHECK (date_trunc('second', given_at) = given_at),
    withdrawn_at timestamptz
);
CREATE INDEX consent_partner_citizen_idx ON consent (partner_id, citizen_id);
CREATE INDEX consent_citizen_idx ON consent (citizen_id);
CREATE UNIQUE INDEX consent_standing_idx ON consent (citizen_id, partner_id, scenario)
    WHERE withdrawn_at IS NULL;

CREATE TABLE binding_code (
    code_hash bytea PRIMARY KEY,
    consent_id uuid NOT NULL,
    citizen_id uuid NOT NULL,
    partner_id text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE TABLE binding (
    binding_id uuid PRIMARY KEY,
    partner_id text NOT NULL,
    citizen_id uuid NOT NULL,
    token_hash bytea NOT NULL CONSTRAINT binding_token_hash_key UNIQUE,
    user_ref_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT binding_partner_user_ref_key UNIQUE (partner_id, user_ref_hash)
);

CREATE TABLE login_code_used (
    provider text NOT NULL,
    code_hash bytea NOT NULL,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (provider, code_hash)
);

CREATE TABLE login (
    login_id uuid PRIMARY KEY,
    family_id uuid NOT NULL,
    citizen_id uuid NOT NULL REFERENCES citizen (citizen_id),
    access_hash bytea NOT NULL CONSTRAINT login_access_hash_key UNIQUE,
    refresh_hash bytea NOT NULL CONSTRAINT login_refresh_hash_key UNIQUE,
    access_expires_at timestamptz NOT NULL,
    refresh_expires_at timestamptz NOT NULL,
    refreshed_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE INDEX login_family_idx ON login (family_id);

CREATE TABLE idempotent_answer (
    scope text NOT NULL,
    key_hash bytea NOT NULL,
    body_digest bytea NOT NULL,
    status integer NOT NULL,
    answer_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (scope, key_hash)
);

-- Unlogged: after a crash the counting starts again, which harms nobody.
CREATE UNLOGGED TABLE rate_hit (
    caller bytea NOT NULL,
    second bigint NOT NULL,
    calls integer NOT NULL,
    PRIMARY KEY (caller, second)
);
"""

# Registries are state: the app may change a row, but only the eraser may delete a person's secret.
GRANTS = """
GRANT SELECT, INSERT ON partner, partner_key, official, citizen, citizen_secret, citizen_account,
    consent, binding_code, binding, login_code_used, login, idempotent_answer, rate_hit
    TO tanhui_app;
GRANT UPDATE ON partner, partner_key, official, citizen, consent, binding_code, binding, login,
    rate_hit TO tanhui_app;
GRANT DELETE ON rate_hit TO tanhui_app;
GRANT SELECT ON citizen, citizen_secret, citizen_account TO tanhui_eraser;
GRANT DELETE ON citizen_secret TO tanhui_eraser;
"""

NAMES = (
    "rate_hit idempotent_answer login login_code_used binding binding_code consent citizen_account"
    " citizen_secret citizen official partner_key partner"
)


def upgrade() -> None:
    """Create the tables and give each role exactly what it needs."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    """Drop the tables; refused by nothing, so only for an empty installation."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in NAMES.split():
        op.execute(f"DROP TABLE {name}")
