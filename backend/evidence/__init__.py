"""Evidence 佐证: what happened, as the partner signed it. Digests never change; bodies may go.

Reading an upload is pure (`read_upload`); writing and reading rows needs a transaction.
"""

from backend.evidence.events import (
    EVENTS_MAX,
    Event,
    ReadUpload,
    Rejected,
    event_digest,
    read_upload,
)
from backend.evidence.receiving import close_day, digests_received, hold_day
from backend.evidence.service import (
    BODY_COLUMNS,
    EVIDENCE_COLUMNS,
    Accepted,
    Decision,
    EvidenceDamaged,
    EvidenceRow,
    IdentityTaken,
    PoisonRow,
    Recorded,
    Upload,
    decide,
    fates_of,
    find_events,
    find_upload,
    load_evidence,
    load_upload,
    recorded_identities,
    states_of,
    store_events,
    store_upload,
    stored_answer,
)
from backend.evidence.shape import Check, SchemaNotSupported, compile_schema

__all__ = [
    "BODY_COLUMNS",
    "EVENTS_MAX",
    "EVIDENCE_COLUMNS",
    "Accepted",
    "Check",
    "Decision",
    "Event",
    "EvidenceDamaged",
    "EvidenceRow",
    "IdentityTaken",
    "PoisonRow",
    "ReadUpload",
    "Recorded",
    "Rejected",
    "SchemaNotSupported",
    "Upload",
    "close_day",
    "compile_schema",
    "decide",
    "digests_received",
    "event_digest",
    "fates_of",
    "find_events",
    "find_upload",
    "hold_day",
    "load_evidence",
    "load_upload",
    "read_upload",
    "recorded_identities",
    "states_of",
    "store_events",
    "store_upload",
    "stored_answer",
]
