"""Who can check: the log of committed rows, its signed heads, receipts, and what a check judges.

`leaves`, `merkle`, `checkpoint`, `trust` and `receipt` are the formats as pure functions; `verify`
and `onchain` judge a receipt; the functions below keep the log in the database.
"""

from backend.proof import checkpoint, leaves, merkle, onchain, receipt, trust, verify
from backend.proof.queue import become_sealer, count_waiting, forget, queue, set_aside, waiting
from backend.proof.service import (
    Checkpoint,
    LeafRow,
    NewLeaf,
    PublishedTrust,
    add_checkpoint,
    add_trust,
    append_leaves,
    checkpoint_at,
    consistency,
    inclusion,
    latest_checkpoint,
    latest_trust,
    leaf_at,
    leaf_of,
    leaves_between,
    root_at,
    seed_of,
    sign_checkpoint,
    size,
)
from backend.proof.shape import ShapeError
from backend.proof.verdicts import STEPS, StepFailed, StepVerdict, Verdict

__all__ = [
    "STEPS",
    "Checkpoint",
    "LeafRow",
    "NewLeaf",
    "PublishedTrust",
    "ShapeError",
    "StepFailed",
    "StepVerdict",
    "Verdict",
    "add_checkpoint",
    "add_trust",
    "append_leaves",
    "become_sealer",
    "checkpoint",
    "checkpoint_at",
    "consistency",
    "count_waiting",
    "forget",
    "inclusion",
    "latest_checkpoint",
    "latest_trust",
    "leaf_at",
    "leaf_of",
    "leaves",
    "leaves_between",
    "merkle",
    "onchain",
    "queue",
    "receipt",
    "root_at",
    "seed_of",
    "set_aside",
    "sign_checkpoint",
    "size",
    "trust",
    "verify",
    "waiting",
]
