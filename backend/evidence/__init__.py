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
    "compile_schema",
    "decide",
    "event_digest",
    "find_events",
    "find_upload",
    "load_evidence",
    "load_upload",
    "read_upload",
    "recorded_identities",
    "states_of",
    "store_events",
    "store_upload",
    "stored_answer",
]
