"""Evidence: uploads with their stored answers, events, encrypted bodies, rejections, decisions.

Revision 0003, after 0002 (registries). Everything but the bodies and their keys is insert-only
for the application; the eraser may delete bodies, nothing else.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Rows of other tables are referred to by id without foreign keys: an event is written once, in the
# commit that writes its upload, and a trigger for each row would cost as much as the row itself.
TABLES = """
CREATE TABLE upload (
    upload_id uuid PRIMARY KEY,
    partner_id text NOT NULL,
    webhook_id text NOT NULL,
    request_digest bytea NOT NULL CHECK (octet_length(request_digest) = 32),
    scheme text NOT NULL,
    key_id text NOT NULL,
    received_at timestamptz NOT NULL,
    event_count integer NOT NULL,
    evidence_from uuid,
    evidence_to uuid,
    answer bytea NOT NULL,
    CONSTRAINT upload_webhook_key UNIQUE (partner_id, webhook_id)
);

CREATE TABLE evidence (
    evidence_id uuid PRIMARY KEY,
    upload_id uuid NOT NULL,
    partner_id text NOT NULL,
    source text NOT NULL,
    event_id text NOT NULL,
    event_digest bytea NOT NULL,
    scenario text NOT NULL,
    citizen_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    occurred_text text NOT NULL,
    originaltime text,
    city_day date NOT NULL,
    origin text NOT NULL,
    evidence_level text NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX evidence_identity_idx ON evidence (partner_id, event_id, source);
CREATE INDEX evidence_citizen_idx ON evidence (citizen_id, evidence_id);

CREATE TABLE evidence_body (
    evidence_id uuid NOT NULL,
    recorded_day date NOT NULL,
    nonce bytea NOT NULL,
    position integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (evidence_id, recorded_day)
) PARTITION BY RANGE (recorded_day);

CREATE TABLE evidence_key (
    day date PRIMARY KEY,
    key_sealed bytea NOT NULL
);

CREATE TABLE rejection (
    rejection_id uuid PRIMARY KEY,
    upload_id uuid NOT NULL,
    partner_id text NOT NULL,
    n integer NOT NULL,
    digest bytea NOT NULL,
    reason text NOT NULL,
    rejected_at timestamptz NOT NULL
);
CREATE INDEX rejection_upload_idx ON rejection (upload_id);

CREATE TABLE decision (
    evidence_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('refused', 'awarded')),
    reason text,
    method_id text,
    method_version integer,
    reduction_mg bigint,
    decided_at timestamptz NOT NULL,
    CONSTRAINT decision_refused_has_reason CHECK ((state = 'refused') = (reason IS NOT NULL))
);
"""

# Partitions live in a schema of their own and are reached through their parent only, so nobody but
# the owner needs a right on them. The application opens a day by calling this function.
OPEN_DAY = """
CREATE SCHEMA evidence_days;

CREATE FUNCTION evidence_open_day(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    part text := 'body_' || to_char(day, 'YYYY_MM_DD');
BEGIN
    IF day NOT BETWEEN date '2020-01-01' AND date '2099-12-31' THEN
        RAISE EXCEPTION 'no evidence is kept for day %', day USING ERRCODE = '22008';
    END IF;
    IF to_regclass('evidence_days.' || part) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Two processes may open the same day at once; the second finds the first one's table. It asks
    -- the catalogue by a query: what to_regclass remembers is not renewed by an advisory lock.
    PERFORM pg_advisory_xact_lock(hashtextextended('evidence_open_day', 0));
    IF EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = 'evidence_days' AND c.relname = part) THEN
        RETURN;
    END IF;
    -- ATTACH takes a weaker lock on the parent than CREATE ... PARTITION OF: writers go on.
    EXECUTE format('CREATE TABLE evidence_days.%I'
        ' (LIKE public.evidence_body INCLUDING ALL,'
        ' CHECK (recorded_day >= %L AND recorded_day < %L))',
        part, day, day + 1);
    EXECUTE format('ALTER TABLE public.evidence_body ATTACH PARTITION evidence_days.%I'
        ' FOR VALUES FROM (%L) TO (%L)', part, day, day + 1);
END
$body$;
REVOKE ALL ON FUNCTION evidence_open_day(date) FROM PUBLIC;
"""

GRANTS = """
GRANT SELECT, INSERT ON upload, evidence, evidence_body, evidence_key, rejection, decision
    TO tanhui_app;
GRANT EXECUTE ON FUNCTION evidence_open_day(date) TO tanhui_app;
GRANT SELECT ON evidence TO tanhui_eraser;
GRANT SELECT, DELETE ON evidence_body TO tanhui_eraser;
"""


def upgrade() -> None:
    """Create the tables, the daily partitioning and the rights."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(OPEN_DAY)
    op.execute(GRANTS)


def downgrade() -> None:
    """Drop everything this revision made; for an empty installation only."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION evidence_open_day(date)")
    for name in ["decision", "rejection", "evidence_key", "evidence_body", "evidence", "upload"]:
        op.execute(f"DROP TABLE {name}")
    op.execute("DROP SCHEMA evidence_days")
