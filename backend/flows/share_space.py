"""An owner shares a space: entered, confirmed by the lot's operator, opened by a policy.

Every change of a right is queued for `SpaceRegistry` in the same commit.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from backend.flows.park_stay import operators_lot
from backend.kit import outbox
from backend.kit.db import Database, Tx
from backend.kit.needs import DocumentError
from backend.kit.problems import Problem
from backend.kit.sm import sm3
from backend.parking import Space, assets, windows

RIGHTS_TOPIC = "space-right"
"""Outbox topic of spaces whose right on chain may differ from ours."""


async def offer_space(
    tx: Tx, citizen_id: UUID, lot_id: str, label: str, space_class: str, now: datetime
) -> UUID:
    """Enter a person's space, withdrawn until the lot's operator confirms it; its id.

    Raises Problem 404 `unknown-lot`, 409 `space-taken`.
    """
    lot = await assets.find_lot(tx, lot_id)
    owner = await assets.party_of_citizen(tx, citizen_id)
    if owner is None:
        owner = await assets.enter_party(
            tx,
            f"o-{sm3(citizen_id.bytes).hex()[:24]}",
            kind="person",
            name="车位业主",
            merchant=False,
            now=now,
            citizen_id=citizen_id,
        )
    space = await assets.add_space(tx, lot, label, space_class, owner.party_id, now)
    await assets.set_space_state(tx, space.space_id, "withdrawn")
    return space.space_id


async def confirm_space(db: Database, operator_id: str, lot_id: str, label: str) -> Space:
    """The operator confirms that a space is its owner's; it is offered from now on.

    Raises Problem 404 `unknown-lot`, `unknown-space`.
    """
    async with db.transaction() as tx:
        lot = await operators_lot(tx, operator_id, lot_id)
        space_id = await assets.space_by_label(tx, lot, label)
        await assets.set_space_state(tx, space_id, "offered")
        await right_changed(tx, space_id)
        return await assets.find_space(tx, space_id)


async def open_windows(tx: Tx, citizen_id: UUID, space_id: UUID, policy: Mapping[str, Any]) -> None:
    """Say when a person's space is open. Raises Problem 404 `unknown-space`, 422 `bad-policy`."""
    await _own(tx, citizen_id, space_id)
    try:
        read = windows.read_policy(policy)
    except DocumentError as error:
        raise Problem(422, "bad-policy", f"共享时段的写法不合规定:{error.detail}") from error
    await assets.set_policy(tx, space_id, read)
    await right_changed(tx, space_id)


async def set_standing(
    tx: Tx, citizen_id: UUID, space_id: UUID, state: Literal["offered", "suspended"]
) -> None:
    """Take a space back for now, or offer it again; what is reserved stays reserved.

    Raises Problem 404 `unknown-space`, 409 `space-not-confirmed`.
    """
    space = await _own(tx, citizen_id, space_id)
    if space.state == "withdrawn":
        raise Problem(409, "space-not-confirmed", "该车位尚待停车场运营方确认。")
    await assets.set_space_state(tx, space_id, state)
    await right_changed(tx, space_id)


async def _own(tx: Tx, citizen_id: UUID, space_id: UUID) -> Space:
    space = await assets.find_space(tx, space_id, lock=True)
    owner = await assets.party_of_citizen(tx, citizen_id)
    if owner is None or space.owner_id != owner.party_id:
        raise Problem(404, "unknown-space", "没有这个车位。", space_id=str(space_id))
    return space


async def right_changed(tx: Tx, space_id: UUID) -> None:
    """Queue a space whose right the chain has to learn of."""
    await outbox.put(tx, RIGHTS_TOPIC, str(space_id), {})
