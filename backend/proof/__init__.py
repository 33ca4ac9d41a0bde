"""Who can check: the log of committed rows, its signed heads, receipts, and what a check judges.

`leaves`, `merkle`, `checkpoint`, `trust` and `receipt` are the formats as pure functions; `verify`
and `onchain` judge a receipt; `statements` keeps the days that partners co-sign; the functions
below keep the log in the database.
"""

from backend.proof import checkpoint, leaves, merkle, onchain, receipt, statements, trust, verify
from backend.proof.fields import ACT_BATCH_KIND
from backend.proof.onchain import ChainFault, ChainReader, ChainTx, ChainTxReceipt, Enacted
from backend.proof.queue import become_sealer, count_waiting, forget, queue, set_aside
from backend.proof.receipt import Anchor, Form, Posted, Receipt, ReceiptError, StatementOrigin
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
from backend.proof.statements import Cosignature, Statement
from backend.proof.trust import Trust, TrustError
from backend.proof.verdicts import STEPS, Outcome, Step, StepFailed, StepVerdict, Verdict

__all__ = [
    "ACT_BATCH_KIND",
    "STEPS",
    "Anchor",
    "ChainFault",
    "ChainReader",
    "ChainTx",
    "ChainTxReceipt",
    "Checkpoint",
    "Cosignature",
    "Enacted",
    "Form",
    "LeafRow",
    "NewLeaf",
    "Outcome",
    "Posted",
    "PublishedTrust",
    "Receipt",
    "ReceiptError",
    "ShapeError",
    "Statement",
    "StatementOrigin",
    "Step",
    "StepFailed",
    "StepVerdict",
    "Trust",
    "TrustError",
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
    "statements",
    "trust",
    "verify",
]
