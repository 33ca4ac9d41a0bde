"""Daily statements of what each partner's events were, and the partners' co-signatures.

Revision 0010, after 0009. A statement is closed once, after its day has ended; all three tables
only grow.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Uploads are found by the day they were received on, and lead to their events by the stretch of
# ids each of them holds: an index row for each upload, none for each event.
TABLES = """
CREATE INDEX upload_received_idx ON upload (partner_id, received_at);

CREATE TABLE statement (
    partner_id text NOT NULL,
    day date NOT NULL,
    count bigint NOT NULL CHECK (count >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (partner_id, day)
);

CREATE TABLE statement_part (
    partner_id text NOT NULL,
    day date NOT NULL,
    n integer NOT NULL CHECK (n >= 0),
    first_digest bytea NOT NULL CHECK (octet_length(first_digest) = 32),
    digests bytea NOT NULL CHECK (octet_length(digests) BETWEEN 32 AND 32768
                                  AND octet_length(digests) % 32 = 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    PRIMARY KEY (partner_id, day, n)
);
-- Digests do not compress: trying costs time for every part.
ALTER TABLE statement_part ALTER COLUMN digests SET STORAGE EXTERNAL;

CREATE TABLE cosignature (
    partner_id text NOT NULL,
    day date NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL,
    cosigned_at timestamptz NOT NULL,
    PRIMARY KEY (partner_id, day)
);
"""

GRANTS = "GRANT SELECT, INSERT ON statement, statement_part, cosignature TO tanhui_app;"


def upgrade() -> None:
    """Create the tables, which the application may read and add to."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)
    op.execute(GRANTS)


def downgrade() -> None:
    """Drop the tables, for an empty installation."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in ("cosignature", "statement_part", "statement"):
        op.execute(f"DROP TABLE {name}")
    op.execute("DROP INDEX upload_received_idx")
