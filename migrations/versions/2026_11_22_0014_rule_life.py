"""The life of a rule or method: steps, public notices, objections and answers, stops.

Revision 0014, after 0013. Everything here is history, written once. A draft may be replaced while
nobody has approved it: that is the one row of `rule` and `method` the app may take away, and a
trigger holds the others.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE document_step (
    step_id uuid PRIMARY KEY,
    what smallint NOT NULL CHECK (what IN (1, 2)),
    id text NOT NULL,
    version integer NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    step text NOT NULL CHECK (step IN ('drafted', 'submitted', 'returned')),
    actor text NOT NULL,
    at timestamptz NOT NULL,
    reason text,
    CHECK ((step = 'returned') = (reason IS NOT NULL))
);
CREATE INDEX document_step_document_idx ON document_step (what, id, version, step_id);

CREATE TABLE public_notice (
    notice_id uuid PRIMARY KEY,
    what smallint NOT NULL CHECK (what IN (1, 2)),
    id text NOT NULL,
    version integer NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    opens_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL,
    given_by text NOT NULL,
    CONSTRAINT public_notice_once_key UNIQUE (what, id, version, digest),
    CHECK (opens_at <= closes_at)
);

CREATE TABLE objection (
    objection_id uuid PRIMARY KEY,
    notice_id uuid NOT NULL REFERENCES public_notice (notice_id),
    text_sealed bytea NOT NULL,
    contact_sealed bytea,
    filed_at timestamptz NOT NULL
);
CREATE INDEX objection_notice_idx ON objection (notice_id, objection_id);

CREATE TABLE objection_answer (
    objection_id uuid PRIMARY KEY REFERENCES objection (objection_id),
    answer text NOT NULL,
    upheld boolean NOT NULL,
    answered_by text NOT NULL,
    answered_at timestamptz NOT NULL
);

CREATE TABLE stop_order (
    stop_id uuid PRIMARY KEY,
    what smallint NOT NULL CHECK (what IN (1, 2)),
    id text NOT NULL,
    version integer NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    day_to date NOT NULL,
    reason text NOT NULL,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL
);
CREATE INDEX stop_order_document_idx ON stop_order (what, id, version);

CREATE TABLE stop_approval (
    stop_id uuid NOT NULL REFERENCES stop_order (stop_id),
    address text NOT NULL,
    official_id text NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 65),
    approved_at timestamptz NOT NULL,
    PRIMARY KEY (stop_id, address)
);

-- Who drafts does not approve: no account holds both roles, so no drafter's key is on chain.
CREATE UNIQUE INDEX official_role_drafts_or_approves_idx ON official_role (official_id)
    WHERE role IN ('drafter', 'approver');

CREATE FUNCTION keep_what_was_approved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    code smallint := CASE TG_TABLE_NAME WHEN 'rule' THEN 1 ELSE 2 END;
    name text := CASE TG_TABLE_NAME WHEN 'rule' THEN to_jsonb(OLD) ->> 'rule_id'
                                    ELSE to_jsonb(OLD) ->> 'method_id' END;
BEGIN
    IF OLD.enacted_at IS NOT NULL
        OR EXISTS (SELECT FROM approval AS a
                   WHERE a.what = code AND a.id = name AND a.version = OLD.version
                     AND a.digest = OLD.digest)
        OR EXISTS (SELECT FROM public_notice AS n
                   WHERE n.what = code AND n.id = name AND n.version = OLD.version)
    THEN
        RAISE EXCEPTION '% % version % was approved or enacted and stays', TG_TABLE_NAME, name,
            OLD.version USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER rule_stays BEFORE DELETE ON rule
    FOR EACH ROW EXECUTE FUNCTION keep_what_was_approved();
CREATE TRIGGER method_stays BEFORE DELETE ON method
    FOR EACH ROW EXECUTE FUNCTION keep_what_was_approved();
"""

GRANTS = """
GRANT SELECT, INSERT ON document_step, public_notice, objection, objection_answer, stop_order,
    stop_approval TO tanhui_app;
GRANT DELETE ON rule, method TO tanhui_app;
"""

NAMES = "stop_approval stop_order objection_answer objection public_notice document_step"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("REVOKE DELETE ON rule, method FROM tanhui_app")
    op.execute("DROP TRIGGER rule_stays ON rule; DROP TRIGGER method_stays ON method")
    op.execute("DROP FUNCTION keep_what_was_approved")
    op.execute("DROP INDEX official_role_drafts_or_approves_idx")
    for name in NAMES.split():
        op.execute(f"DROP TABLE {name}")
