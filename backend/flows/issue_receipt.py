"""leaf → receipt: everything a stranger needs to check one transfer or enactment."""

from typing import Any, cast
from uuid import UUID

from backend import incentive, methodology, partners, proof, views
from backend.kit.canonical import loads_strict
from backend.kit.clock import city_day
from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.kit.settings import Settings
from backend.proof import (
    ACT_BATCH_KIND,
    Anchor,
    Cosignature,
    Form,
    LeafRow,
    Posted,
    Statement,
    StatementOrigin,
    leaves,
    receipt,
    statements,
)


async def issue_receipt(tx: Tx, settings: Settings, ref: UUID, form: Form = "full") -> bytes:
    """The receipt of a transfer, enactment or audit head, canonical JSON (formats.md §11).

    `form` share hides time, place, subject and account. The answer stays the same once the batch
    is posted and the partner has co-signed the day its event was received on. Raises `Problem` 409
    `not-confirmed` before a final anchor covers the leaf, 410 `receipt-erased` when the leaf's
    salts were erased, 409 `no-share-form` for another leaf.
    """
    leaf = await proof.leaf_of(tx, ref)
    anchor = None if leaf is None else await views.anchor_over(tx, leaf.index)
    head = None if anchor is None else await proof.checkpoint_at(tx, anchor.size)
    if leaf is None or anchor is None or head is None:
        raise Problem(
            409, "not-confirmed", "尚未上链存证,请稍后再取回执", ref=str(ref), next_step="retry"
        )
    if form == "share" and leaf.kind != leaves.TRANSFER:
        raise Problem(409, "no-share-form", "只有积分变动的回执有分享版", ref=str(ref))
    fields = await _fields(tx, leaf, settings.city_tz)
    opened = await _open(tx, leaf, fields, settings.city_tz)
    method, rule = await _documents(tx, leaf, fields)
    return receipt.build_receipt(
        form=form,
        issuer=settings.issuer_id,
        index=leaf.index,
        size=head.size,
        path=await proof.inclusion(tx, leaf.index, head.size),
        leaf=opened,
        checkpoint=head.note,
        anchor=Anchor(
            chain_id=settings.chain_id,
            contract=anchor.contract,
            tx="0x" + anchor.tx_hash.hex(),
            block=anchor.block,
            block_hash=anchor.block_hash,
        ),
        posted=await _posted(tx, leaf),
        method=method,
        rule=rule,
        origin=await _origin(tx, leaf, fields, settings.city_tz, form),
    )


async def _fields(tx: Tx, leaf: LeafRow, city_tz: str) -> dict[str, Any]:
    if leaf.kind == leaves.TRANSFER:
        found = await views.transfer_fields(tx, [leaf.ref], city_tz)
    elif leaf.kind == leaves.ENACTMENT:
        found = await views.enactment_fields(tx, [leaf.ref])
    else:
        found = await views.audit_fields(tx, [leaf.ref])
    return found[leaf.ref]


async def _open(tx: Tx, leaf: LeafRow, fields: dict[str, Any], city_tz: str) -> leaves.Leaf:
    """The leaf's disclosures, rebuilt from its rows and its seed."""
    seed = await proof.seed_of(tx, leaf.index)
    if seed is None:
        raise Problem(410, "receipt-erased", "该回执的披露信息已按本人要求删除", ref=str(leaf.ref))
    opened = leaves.build(leaf.kind, fields, seed, city_tz)
    if opened.leaf_hash != leaf.leaf_hash:
        raise Problem(
            500,
            "leaf-differs",
            "数据库记录与日志叶子不一致,不能出具回执;请运维人员核查",
            leaf_index=leaf.index,
        )
    return opened


async def _documents(
    tx: Tx, leaf: LeafRow, fields: dict[str, Any]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The whole method and rule documents, each None where the leaf names none."""
    if leaf.kind == leaves.TRANSFER:
        method, rule = fields["method"], fields["rule"]
        return (
            None if method is None else await _method(tx, method["id"], method["version"]),
            None if rule is None else await _rule(tx, rule["id"], rule["version"]),
        )
    if leaf.kind == leaves.AUDIT_HEAD:
        return None, None
    named = fields["enactment"]
    # A stop names a document of either kind; its digest tells which.
    method = await methodology.document_of(tx, named["id"], named["version"])
    if method is not None and proof.trust.digest(method).hex() == named["digest"]:
        return _document(method), None
    return None, await _rule(tx, named["id"], named["version"])


async def _method(tx: Tx, method_id: str, version: int) -> dict[str, Any]:
    return _document(await methodology.document_of(tx, method_id, version))


async def _rule(tx: Tx, rule_id: str, version: int) -> dict[str, Any]:
    return _document(await incentive.document_of(tx, rule_id, version))


def _document(data: bytes | None) -> dict[str, Any]:
    if data is None:
        raise LookupError("a leaf names a document that is not stored")
    return cast("dict[str, Any]", loads_strict(data))


async def _posted(tx: Tx, leaf: LeafRow) -> Posted | None:
    if leaf.act is None:
        return None
    batch = await views.batch_over(tx, leaf.index, ACT_BATCH_KIND[leaf.act])
    if batch is None:
        return None
    return Posted(batch.contract, batch.batch_id, "0x" + batch.tx_hash.hex(), batch.block)


async def _origin(
    tx: Tx, leaf: LeafRow, fields: dict[str, Any], city_tz: str, form: Form
) -> str | StatementOrigin:
    """The path to the partner's co-signed statement, else how the upload was authenticated.

    An act without an event is the issuer's own.
    """
    method = fields.get("method")
    if method is None:
        return "issuer"
    stated = await _stated_origin(tx, leaf, city_tz) if form == "full" else None
    return stated or method["origin"]


async def _stated_origin(tx: Tx, leaf: LeafRow, city_tz: str) -> StatementOrigin | None:
    event = await views.received_event(tx, leaf.ref)
    if event is None:
        return None
    day = city_day(event.received_at, city_tz)
    statement = await statements.statement_of(tx, event.partner_id, day)
    signed = await statements.cosignature_of(tx, event.partner_id, day)
    if statement is None or signed is None or not await _is_trusted(tx, statement, signed):
        return None
    way = await statements.statement_path(tx, event.partner_id, day, event.digest)
    if way is None:
        return None
    return StatementOrigin(
        day=day.isoformat(),
        count=statement.count,
        index=way.index,
        path=way.path,
        signature=signed.signature,
    )


async def _is_trusted(tx: Tx, statement: Statement, signed: Cosignature) -> bool:
    """Whether the key stands in the trust file: what nobody can check is not put on a receipt."""
    latest = await proof.latest_trust(tx)
    if latest is None:
        return False
    keys = await partners.public_keys(tx)
    point = next(
        key.public_key
        for key in keys
        if (key.partner_id, key.key_id) == (statement.partner_id, signed.key_id)
    )
    trusted = proof.trust.parse_trust(latest.document)
    listed = trusted.statement_keys(statement.partner_id, statement.day)
    return any(key.public_key == point for key in listed)
