"""Receipts: everything a stranger needs to check one leaf, in canonical JSON (formats.md §11)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from backend.kit.canonical import (
    INTEGER_MAX,
    RECEIPT_DOCUMENT_DEPTH_MAX,
    NotCanonical,
    dumps,
    loads_strict,
)
from backend.proof import leaves, merkle, shape
from backend.proof.encoding import b64, b64_strict
from backend.proof.fields import ORIGINS

FORMAT = "tanhui-receipt-v1"
RECEIPT_SIZE_MAX = 262_144

Form = Literal["full", "share"]


class ReceiptError(ValueError):
    """Bytes that are no receipt of formats.md §11; the message says why."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where the checkpoint was written: `contract` and `tx` with 0x, `block_hash` 32 bytes."""

    chain_id: int
    contract: str
    tx: str
    block: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class Posted:
    """The batch that carried the points to the account."""

    contract: str
    batch_id: bytes
    tx: str
    block: int


@dataclass(frozen=True, slots=True)
class StatementOrigin:
    """A path to the partner's co-signed statement of a day; `signature` is DER."""

    day: str
    count: int
    index: int
    path: tuple[bytes, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt whose shape holds. `disclosures` has None where a field is hidden."""

    form: Form
    issuer: str
    index: int
    size: int
    path: tuple[bytes, ...]
    kind: int
    disclosures: tuple[bytes | None, ...]
    commitments: tuple[bytes, ...]
    checkpoint: str
    anchor: Anchor
    posted: Posted | None
    method: dict[str, Any] | None
    rule: dict[str, Any] | None
    origin: str | StatementOrigin


def build_receipt(
    *,
    form: Form,
    issuer: str,
    index: int,
    size: int,
    path: Sequence[bytes],
    leaf: leaves.Leaf,
    checkpoint: str,
    anchor: Anchor,
    posted: Posted | None,
    method: dict[str, Any] | None,
    rule: dict[str, Any] | None,
    origin: str | StatementOrigin,
) -> bytes:
    """The bytes of a receipt. A share form hides the last three fields and leaves `posted` out.

    `origin` is a kind, or the path to the partner's statement (full form only).

    Raises `ReceiptError` when the result is not a receipt (too large, a bad part).
    """
    shared = form == "share"
    if shared and leaf.kind != leaves.TRANSFER:
        raise ReceiptError("only a transfer has a share form")
    revealed = leaves.SHARED_FIELDS if shared else len(leaf.disclosures)
    document = {
        "format": FORMAT,
        "form": form,
        "issuer": issuer,
        "log": {"index": index, "size": size, "path": [step.hex() for step in path]},
        "leaf": {
            "kind": leaf.kind,
            "fields": [
                {"d": disclosure.decode()} if place < revealed else {"h": commitment.hex()}
                for place, (disclosure, commitment) in enumerate(
                    zip(leaf.disclosures, leaf.commitments, strict=True)
                )
            ],
        },
        "checkpoint": checkpoint,
        "anchor": {
            "chain_id": anchor.chain_id,
            "contract": anchor.contract,
            "tx": anchor.tx,
            "block": anchor.block,
            "block_hash": anchor.block_hash.hex(),
        },
        "posted": None
        if posted is None or shared
        else {
            "contract": posted.contract,
            "batch_id": posted.batch_id.hex(),
            "tx": posted.tx,
            "block": posted.block,
        },
        "documents": {"method": method, "rule": rule},
        "origin": _origin(origin),
    }
    try:
        data = dumps(document)
    except NotCanonical as error:
        raise ReceiptError(f"a part is not canonical JSON: {error.reason}") from error
    parse_receipt(data)
    return data


def _origin(origin: str | StatementOrigin) -> dict[str, Any]:
    if isinstance(origin, str):
        return {"kind": origin}
    return {
        "kind": "statement",
        "day": origin.day,
        "count": origin.count,
        "index": origin.index,
        "path": [step.hex() for step in origin.path],
        "signature": b64(origin.signature),
    }


def parse_receipt(data: bytes) -> Receipt:
    """Read a receipt strictly. Raises `ReceiptError`; nothing has been verified afterwards."""
    if len(data) > RECEIPT_SIZE_MAX:
        raise ReceiptError(f"a receipt has at most {RECEIPT_SIZE_MAX} bytes")
    try:
        return _parse(loads_strict(data))
    except NotCanonical as error:
        raise ReceiptError(f"not canonical JSON: {error.reason}") from error
    except shape.ShapeError as error:
        raise ReceiptError(str(error)) from error


_TOP = frozenset(
    {
        "format",
        "form",
        "issuer",
        "log",
        "leaf",
        "checkpoint",
        "anchor",
        "posted",
        "documents",
        "origin",
    }
)
_LOG = frozenset({"index", "size", "path"})
_LEAF = frozenset({"kind", "fields"})
_ANCHOR = frozenset({"chain_id", "contract", "tx", "block", "block_hash"})
_POSTED = frozenset({"contract", "batch_id", "tx", "block"})
_DOCUMENTS = frozenset({"method", "rule"})
_STATEMENT = frozenset({"kind", "day", "count", "index", "path", "signature"})


def _parse(value: Any) -> Receipt:
    top = shape.members(value, _TOP, "a receipt")
    if top["format"] != FORMAT:
        raise ReceiptError(f"the format is not {FORMAT}")
    form = top["form"]
    if form not in ("full", "share"):
        raise ReceiptError("the form is neither full nor share")
    log = shape.members(top["log"], _LOG, "log")
    size = shape.integer(log["size"], 1, INTEGER_MAX, "log.size")
    kind, disclosures, commitments = _parse_leaf(top["leaf"], form)
    documents = shape.members(top["documents"], _DOCUMENTS, "documents")
    if type(top["checkpoint"]) is not str:
        raise ReceiptError("the checkpoint is not a note")
    receipt = Receipt(
        form=form,
        issuer=shape.text(top["issuer"], shape.ID, "issuer"),
        index=shape.integer(log["index"], 0, size - 1, "log.index"),
        size=size,
        path=_parse_path(log["path"], "log.path"),
        kind=kind,
        disclosures=disclosures,
        commitments=commitments,
        checkpoint=top["checkpoint"],
        anchor=_parse_anchor(top["anchor"]),
        posted=_parse_posted(top["posted"]),
        method=_parse_document(documents["method"], "documents.method"),
        rule=_parse_document(documents["rule"], "documents.rule"),
        origin=_parse_origin(top["origin"]),
    )
    _check_form(receipt)
    return receipt


def _check_form(receipt: Receipt) -> None:
    """What a form and a kind allow together."""
    if receipt.posted is not None and (receipt.form == "share" or receipt.kind != leaves.TRANSFER):
        raise ReceiptError("posted is null in a share form and for every leaf but a transfer")
    if isinstance(receipt.origin, StatementOrigin) and receipt.form == "share":
        raise ReceiptError("the share form names the kind of its origin alone")
    if receipt.kind == leaves.ENACTMENT and (receipt.method is None) == (receipt.rule is None):
        raise ReceiptError("an enactment's receipt holds the enacted document, the other is null")
    if receipt.kind == leaves.AUDIT_HEAD and (receipt.method or receipt.rule):
        raise ReceiptError("the receipt of an audit head holds no documents")


def _parse_leaf(value: Any, form: Form) -> tuple[int, tuple[bytes | None, ...], tuple[bytes, ...]]:
    leaf = shape.members(value, _LEAF, "leaf")
    kind = shape.integer(leaf["kind"], 1, 3, "leaf.kind")
    if form == "share" and kind != leaves.TRANSFER:
        raise ReceiptError("only a transfer has a share form")
    count = len(leaves.FIELDS[kind])
    revealed = leaves.SHARED_FIELDS if form == "share" else count
    items = leaf["fields"]
    if type(items) is not list or len(cast("list[Any]", items)) != count:
        raise ReceiptError(f"a leaf of kind {kind} has {count} fields")
    disclosures: list[bytes | None] = []
    commitments: list[bytes] = []
    for place, item in enumerate(cast("list[Any]", items)):
        if place < revealed:
            field = shape.members(item, frozenset({"d"}), f"the {form} form's field {place}")
            disclosure = shape.text(field["d"], None, "a disclosure").encode()
            disclosures.append(disclosure)
            commitments.append(leaves.commitment(disclosure))
        else:
            field = shape.members(item, frozenset({"h"}), f"the {form} form's field {place}")
            disclosures.append(None)
            commitments.append(_hash(field["h"], "a commitment"))
    return kind, tuple(disclosures), tuple(commitments)


def _hash(value: Any, where: str) -> bytes:
    return bytes.fromhex(shape.text(value, shape.HEX32, where))


def _parse_path(value: Any, where: str) -> tuple[bytes, ...]:
    if type(value) is not list or len(cast("list[Any]", value)) > merkle.PATH_MAX:
        raise ReceiptError(f"{where} is not a list of at most {merkle.PATH_MAX} hashes")
    return tuple(_hash(step, where) for step in cast("list[Any]", value))


def _tx(value: Any, where: str) -> str:
    spelled = shape.text(value, None, where)
    if not spelled.startswith("0x"):
        raise ReceiptError(f"{where} does not begin with 0x")
    _hash(spelled[2:], where)
    return spelled


def _parse_anchor(value: Any) -> Anchor:
    anchor = shape.members(value, _ANCHOR, "anchor")
    return Anchor(
        shape.integer(anchor["chain_id"], 1, INTEGER_MAX, "anchor.chain_id"),
        shape.text(anchor["contract"], shape.ADDRESS, "anchor.contract"),
        _tx(anchor["tx"], "anchor.tx"),
        shape.integer(anchor["block"], 0, INTEGER_MAX, "anchor.block"),
        _hash(anchor["block_hash"], "anchor.block_hash"),
    )


def _parse_posted(value: Any) -> Posted | None:
    if value is None:
        return None
    posted = shape.members(value, _POSTED, "posted")
    return Posted(
        shape.text(posted["contract"], shape.ADDRESS, "posted.contract"),
        _hash(posted["batch_id"], "posted.batch_id"),
        _tx(posted["tx"], "posted.tx"),
        shape.integer(posted["block"], 0, INTEGER_MAX, "posted.block"),
    )


def _parse_document(value: Any, where: str) -> dict[str, Any] | None:
    if value is None:
        return None
    if type(value) is not dict:
        raise ReceiptError(f"{where} is neither null nor a document")
    try:
        dumps(cast("dict[str, Any]", value), depth_max=RECEIPT_DOCUMENT_DEPTH_MAX)
    except NotCanonical as error:
        raise ReceiptError(f"{where}: {error.reason}") from error
    return cast("dict[str, Any]", value)


def _parse_origin(value: Any) -> str | StatementOrigin:
    kind: Any = cast("dict[str, Any]", value).get("kind") if type(value) is dict else None
    if kind != "statement":
        origin = shape.members(value, frozenset({"kind"}), "origin")
        if origin["kind"] not in (*ORIGINS, "issuer"):
            raise ReceiptError("origin.kind is none that formats.md knows")
        return cast("str", origin["kind"])
    origin = shape.members(value, _STATEMENT, "origin")
    count = shape.integer(origin["count"], 1, INTEGER_MAX, "origin.count")
    shape.day(origin["day"], "origin.day")
    try:
        signature = b64_strict(shape.text(origin["signature"], None, "origin.signature"))
    except shape.ShapeError:
        raise
    except ValueError as error:
        raise ReceiptError("origin.signature is not strict base64") from error
    return StatementOrigin(
        origin["day"],
        count,
        shape.integer(origin["index"], 0, count - 1, "origin.index"),
        _parse_path(origin["path"], "origin.path"),
        signature,
    )
