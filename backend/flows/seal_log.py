"""transfer → leaf: committed rows get dense indexes in the one log, under a signed head."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from backend import proof, views
from backend.kit.clock import Clock
from backend.kit.db import Database, Tx
from backend.kit.logs import log
from backend.kit.settings import Settings
from backend.kit.sm import Sm2PrivateKey
from backend.kit.vault import Vault
from backend.proof import Checkpoint, NewLeaf, ShapeError, checkpoint, leaves

CHECKPOINT_KEY = "checkpoint-1"
"""The vault's name of the key that signs heads of the log."""

CHECKPOINT_KEY_SUFFIX = "1"
"""How its name in notes and in trust.json ends."""

SEAL_ROWS_MAX = 2_000

Fields = Mapping[str, Any]


async def seal_once(
    db: Database, vault: Vault, settings: Settings, clock: Clock, limit: int = SEAL_ROWS_MAX
) -> int:
    """Seal up to `limit` waiting rows in one commit and sign the new head; how many were sealed.

    0 when nothing waits or another process is the sealer. A row that cannot become a leaf is set
    aside with its reason and logged; the others go on.
    """
    async with db.transaction() as tx:
        if not await proof.become_sealer(tx):
            return 0
        rows = await views.rows_to_seal(tx, limit)
        if not rows:
            return 0
        fields = await _fields_of(tx, rows, settings.city_tz)
        # Hashing and signing are pure computation: in a thread they leave the loop to others.
        new, refused = await asyncio.to_thread(_build, rows, fields, settings.city_tz)
        for (kind, ref), reason in refused.items():
            await proof.set_aside(tx, kind, ref, reason)
            log("leaf_refused", kind=kind, ref=ref, reason=reason)
        if not new:
            return 0
        at = clock.now()
        size, root = await proof.append_leaves(tx, new, at)
        await proof.forget(tx, [(leaf.kind, leaf.ref) for leaf in new])
        head = await asyncio.to_thread(_sign, vault, settings, size, root)
        await proof.add_checkpoint(tx, head, at)
    log("log_sealed", leaves=len(new), size=size, root=root.hex())
    return len(new)


async def _fields_of(
    tx: Tx, rows: Sequence[tuple[int, UUID]], city_tz: str
) -> dict[tuple[int, UUID], Fields]:
    """What each row's leaf says, for the rows that are there."""
    transfers = [ref for kind, ref in rows if kind == leaves.TRANSFER]
    enactments = [ref for kind, ref in rows if kind == leaves.ENACTMENT]
    heads = [ref for kind, ref in rows if kind == leaves.AUDIT_HEAD]
    found: dict[tuple[int, UUID], Fields] = {}
    if transfers:
        for ref, fields in (await views.transfer_fields(tx, transfers, city_tz)).items():
            found[leaves.TRANSFER, ref] = fields
    if enactments:
        for ref, fields in (await views.enactment_fields(tx, enactments)).items():
            found[leaves.ENACTMENT, ref] = fields
    if heads:
        for ref, fields in (await views.audit_fields(tx, heads)).items():
            found[leaves.AUDIT_HEAD, ref] = fields
    return found


def _build(
    rows: Sequence[tuple[int, UUID]], fields: Mapping[tuple[int, UUID], Fields], city_tz: str
) -> tuple[list[NewLeaf], dict[tuple[int, UUID], str]]:
    """The leaves in the order of the rows, and the rows that cannot become one, with the reason."""
    new: list[NewLeaf] = []
    refused: dict[tuple[int, UUID], str] = {}
    for row in rows:
        kind, ref = row
        if row not in fields:
            refused[row] = "there is no row of that id"
            continue
        seed = secrets.token_bytes(32)
        try:
            leaf = leaves.build(kind, fields[row], seed, city_tz)
        except ShapeError as error:
            refused[row] = str(error)
            continue
        new.append(NewLeaf(kind, ref, leaf.leaf_hash, seed, _terms(kind, fields[row])))
    return new, refused


def _terms(kind: int, fields: Fields) -> dict[str, Any]:
    """The columns by which batches sum leaves; none for other kinds than transfers."""
    if kind != leaves.TRANSFER:
        return {}
    act, rule = fields["act"], fields["rule"]
    return {
        "act": act["act"],
        "reason": act["reason"],
        "class": fields["points"]["class"],
        "amount": fields["points"]["amount"],
        "programme": None if rule is None else rule["programme"],
        "rule": None if rule is None else rule["id"],
        "rule_version": None if rule is None else rule["version"],
        "account": bytes.fromhex(fields["account"]),
        "city_day": date.fromisoformat(fields["occurrence"]["city_day"]),
    }


def _sign(vault: Vault, settings: Settings, size: int, root: bytes) -> Checkpoint:
    key: Sm2PrivateKey = vault.sm2_key(CHECKPOINT_KEY)
    return proof.sign_checkpoint(
        checkpoint.origin_of(settings.profile, settings.issuer_id, settings.chain_id),
        size,
        root,
        checkpoint.key_name(settings.profile, settings.issuer_id, CHECKPOINT_KEY_SUFFIX),
        key.public_key.to_bytes(),
        key.sign,
    )
