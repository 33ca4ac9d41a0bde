"""The steps of a check that need only the receipt and the trust file, all pure (formats.md §13)."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, cast

from backend.kit.sm import BadKey, Sm2PublicKey
from backend.proof import checkpoint, leaves, merkle
from backend.proof.checkpoint import Note, NoteError
from backend.proof.receipt import Receipt, ReceiptError, StatementOrigin, parse_receipt
from backend.proof.shape import ShapeError
from backend.proof.trust import Trust
from backend.proof.verdicts import Outcome, StepFailed, StepVerdict

_ISSUER_READ_MAX = 1 << 22
"""Bytes beyond this are not searched for an issuer."""


def verify_sm2(public_key: bytes, text: bytes, signature: bytes) -> bool:
    """Whether r ‖ s holds; a point off the curve signs nothing."""
    try:
        return Sm2PublicKey.from_bytes(public_key).verify(signature, text)
    except BadKey:
        return False


def open_receipt(data: bytes, trust: Trust) -> tuple[Receipt | None, list[StepVerdict]]:
    """The receipt, if issuer and format hold, and the verdicts on these two steps."""
    problem = ""
    receipt = None
    try:
        receipt = parse_receipt(data)
        issuer: str | None = receipt.issuer
    except ReceiptError as error:
        problem, issuer = str(error), _issuer_in(data)
    known = issuer == trust.issuer_id
    if known:
        first = StepVerdict(
            "issuer", "ok", f"{trust.issuer_id} ({trust.issuer_name}), {trust.profile}"
        )
    elif issuer is None:
        first = StepVerdict("issuer", "failed", "no issuer can be read")
    else:
        first = StepVerdict(
            "issuer", "failed", f"{issuer[:60]!r} is not the issuer of the trust file"
        )
    if receipt is None:
        return None, [first, StepVerdict("format", "failed", problem)]
    if not known:
        return None, [first, StepVerdict("format", "not_checked", "the issuer is unknown")]
    return receipt, [first, StepVerdict("format", "ok", f"{receipt.form} form, canonical JSON")]


def _issuer_in(data: bytes) -> str | None:
    """The issuer that bytes which are no receipt name, however they are spelled."""
    if len(data) > _ISSUER_READ_MAX:
        return None
    try:
        value: Any = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    issuer = cast("dict[str, Any]", value).get("issuer") if type(value) is dict else None
    return issuer if isinstance(issuer, str) else None


def open_leaf(receipt: Receipt, trust: Trust) -> dict[str, Any]:
    """The revealed fields of the leaf by name. Raises `StepFailed`."""
    try:
        return leaves.open_fields(receipt.kind, receipt.disclosures, trust.city_tz)
    except ShapeError as error:
        raise StepFailed(str(error)) from error


def open_note(receipt: Receipt) -> Note:
    """The checkpoint's note, unjudged. Raises `StepFailed`."""
    try:
        return checkpoint.parse_note(receipt.checkpoint)
    except NoteError as error:
        raise StepFailed(str(error)) from error


def check_path(receipt: Receipt, note: Note) -> str:
    """The leaf stands in the tree of the checkpoint. Raises `StepFailed`."""
    if receipt.size != note.size:
        raise StepFailed(f"the path is for {receipt.size} leaves, the checkpoint for {note.size}")
    leaf = leaves.leaf_hash(receipt.kind, receipt.commitments)
    if not merkle.verify_inclusion(receipt.index, note.size, leaf, receipt.path, note.root):
        raise StepFailed("the path does not lead from the leaf to the checkpoint's root")
    return f"leaf {receipt.index} of {note.size}, {len(receipt.path)} hashes"


def check_checkpoint(note: Note, trust: Trust) -> str:
    """The checkpoint is signed by keys of the trust file. Raises `StepFailed`."""
    try:
        names = checkpoint.check_note(note, trust.origin, trust.checkpoint_keys, verify_sm2)
    except NoteError as error:
        raise StepFailed(str(error)) from error
    return f"size {note.size}, signed by {', '.join(names)}"


def check_origin(receipt: Receipt, values: Mapping[str, Any], trust: Trust) -> tuple[Outcome, str]:
    """(outcome, reason) of the origin step. Raises `StepFailed`."""
    origin = receipt.origin
    if isinstance(origin, StatementOrigin):
        return "ok", _check_statement(origin, values, trust)
    method = values.get("method")
    expected = "issuer" if method is None else method["origin"]
    if origin != expected:
        raise StepFailed(f"the origin is {origin!r}, the leaf says {expected!r}")
    if receipt.form == "share":
        return "hidden", f"{origin}; the event is hidden in the share form"
    return "stated", _ORIGIN_WORDS[origin]


_ORIGIN_WORDS = {
    "signed-upload": "signed upload: checked by the issuer, not provable here",
    "shared-secret": "shared secret: the issuer could have made it",
    "issuer": "an act of the issuer itself",
}


def _check_statement(origin: StatementOrigin, values: Mapping[str, Any], trust: Trust) -> str:
    event = values.get("event")
    if event is None:
        raise StepFailed("a statement covers events, and this leaf has none")
    digest = bytes.fromhex(event["digest"])
    root = merkle.root_from_path(origin.index, origin.count, merkle.leaf_hash(digest), origin.path)
    if root is None:
        raise StepFailed("the path does not fit a statement of that many events")
    text = statement_text(event["partner"], origin.day, origin.count, root)
    for key in trust.statement_keys(event["partner"], date.fromisoformat(origin.day)):
        if _verify_der(key.public_key, text, origin.signature):
            return f"{event['partner']} co-signed the statement of {origin.day}"
    raise StepFailed("no statement key of the partner, valid on that day, signed this statement")


def statement_text(partner: str, day: str, count: int, root: bytes) -> bytes:
    """What a partner co-signs for a day (formats.md §14)."""
    return f"tanhui-statement-v1\n{partner}\n{day}\n{count}\n{root.hex()}\n".encode()


def _verify_der(public_key: bytes, text: bytes, signature: bytes) -> bool:
    try:
        return Sm2PublicKey.from_bytes(public_key).verify_der(signature, text)
    except BadKey:
        return False
