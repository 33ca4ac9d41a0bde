"""enacted → stopped: two approvers end a rule or method earlier, with a reason.

The database closes the window first, so that nothing more is awarded under it, and the chain
follows; until the chain has it, the stop has no leaf. Days on which points were given stay inside
the window: their batches must still be accepted.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import UUID

from backend import incentive, methodology, officials
from backend.chain import (
    ChainTx,
    Purpose,
    Receipt,
    Signer,
    approvals,
    contracts,
    explain_failure,
)
from backend.flows.enact_rule import (
    APPROVALS_NEEDED,
    LEAF_KIND,
    Version,
    What,
    independent,
    refuse_other_key,
    version_of,
)
from backend.flows.government_lane import (
    Call,
    Deployed,
    Government,
    deployed,
    outcome,
    prepare,
    settle,
    standing,
    terms_now,
)
from backend.kit.clock import city_day
from backend.kit.db import Row, Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Session, life

PURPOSE = "stop"
_GAS = 300_000


@dataclass(frozen=True, slots=True)
class StopStanding:
    """Where a stop stands: who signed, whether the chain has it, or why it refused."""

    stop: life.Stop
    approvers: tuple[str, ...]
    stopped: bool
    reason: str | None = None


async def order_stop(
    services: Services,
    by: Session,
    what: What,
    name: str,
    version: int,
    reason: str,
    day_to: date | None = None,
) -> tuple[life.Stop, dict[str, object]]:
    """Order a stop from `day_to` on, else from the earliest possible day; what is to be signed.

    Raises Problem: 404 `unknown-document`, 409 `wrong-state`, 422 `stop-too-early`,
    `stop-not-earlier`.
    """
    user = by.official.official_id
    async with services.db.transaction() as tx:
        found, place = await version_of(tx, what, name, version), await deployed(tx)
        ends = await _window_end(tx, found)
        earliest = await _earliest(tx, services, found)
        last = day_to or earliest
        if last < earliest:
            raise Problem(
                422, "stop-too-early", f"最早可自 {earliest} 起停用。", earliest=str(earliest)
            )
        if ends is not None and last >= ends:
            raise Problem(422, "stop-not-earlier", f"这一版本来就在 {ends} 前结束。", id=name)
        now = services.clock.now()
        stop = await life.order_stop(tx, found.key, found.digest, last, reason, user, now)
        await officials.note(
            tx,
            actor=user,
            act=f"{what}.stop.order",
            about=found.ref,
            detail={"stop_id": stop.stop_id, "day_to": last, "reason": reason},
            at=now,
        )
    terms = replace(found, day_to=last).terms
    return stop, approvals.typed_data(place.chain_id, place.rule_registry, terms)


async def sign_stop(
    services: Services, government: Government, by: Session, stop_id: UUID, signed: Signer | bytes
) -> StopStanding:
    """Sign a stop with one's own key; the second signature closes the window, here and on chain.

    Raises Problem: 404 `unknown-stop`, 403 `not-an-approver`, `wrong-key`, 409 `wrong-state`,
    422 `stop-too-early`, 502 `chain-refused`, 503 `chain-away`.
    """
    terms = await terms_now(government)
    user = by.official.official_id
    async with services.db.transaction() as tx:
        place, now = await deployed(tx), services.clock.now()
        stop, found = await _ordered(tx, stop_id)
        await _window_end(tx, found)
        await _sign(tx, services, place, found, stop, user, signed)
        await officials.note(
            tx, actor=user, act=f"{found.what}.stop.approve", about=found.ref,
            detail={"stop_id": stop_id}, at=now,
        )  # fmt: skip
        counting = await _counting(tx, stop_id)
        ready = len(counting) >= APPROVALS_NEEDED
        ref = _ref(found, stop)
        if ready and not await standing(tx, PURPOSE, ref):
            await _close_window(tx, services, found, stop)
            first, second = (row["signature"] for row in counting)
            data = approvals.stop_input(found.terms, first, second)
            call = Call(PURPOSE, ref, place.rule_registry, data, _GAS)
            await prepare(tx, government, terms, call)
    addresses = tuple(sorted(row["address"] for row in counting))
    if not ready:
        return StopStanding(stop, addresses, stopped=False)
    await settle(government, purposes(government))
    async with services.db.transaction(readonly=True) as tx:
        state = await outcome(tx, PURPOSE, ref)
    stopped = state is not None and state[0] == "final"
    return StopStanding(stop, addresses, stopped, None if state is None else state[1])


def purposes(government: Government) -> dict[str, Purpose]:
    """What happens when a stop settles: its enactment row, which asks for a leaf."""
    clock = government.clock

    async def on_settled(tx: Tx, done: ChainTx, _receipt: Receipt | None) -> None:
        if done.state != "final":
            log("stop_refused", ref=done.ref, reason=done.reason)
            return
        stop, found = await _ordered(tx, UUID(done.ref.rpartition("/")[2]))
        counting = await _counting(tx, stop.stop_id)
        enactment_id, now = new_id(), clock.now()
        await tx.execute(
            """INSERT INTO enactment (enactment_id, what, id, version, digest, day_from, day_to,
                   approvers, tx_hash, enacted_at)
               VALUES ($1, 'stop', $2, $3, $4, $5, $6, $7, $8, $9)""",
            enactment_id,
            found.id,
            found.version,
            found.digest,
            found.day_from,
            found.day_to,
            sorted(row["address"] for row in counting),
            done.tx_hash,
            now,
        )
        await tx.execute(
            "INSERT INTO unsealed (kind, ref, queued_at) VALUES ($1, $2, $3)",
            LEAF_KIND,
            enactment_id,
            now,
        )
        log("document_stopped", what=found.what, id=found.id, version=found.version)

    return {PURPOSE: Purpose(on_settled=on_settled, explain=explain_failure)}


async def _ordered(tx: Tx, stop_id: UUID) -> tuple[life.Stop, Version]:
    """A stop, and the version as it will be: its window ends at the stop's day."""
    stop = await life.stop_of(tx, stop_id)
    if stop is None:
        raise Problem(404, "unknown-stop", "没有这项停用令。", stop_id=str(stop_id))
    what: What = "rule" if stop.what == contracts.WHAT_RULE else "method"
    found = await version_of(tx, what, stop.id, stop.version)
    return stop, replace(found, day_to=stop.day_to)


async def _sign(
    tx: Tx,
    services: Services,
    place: Deployed,
    found: Version,
    stop: life.Stop,
    user: str,
    signed: Signer | bytes,
) -> None:
    official = await officials.find(tx, user)
    if official is None or not official.acts or "approver" not in official.roles:
        raise Problem(403, "not-an-approver", "只有登记的审批人可以审批。", official_id=user)
    digest = contracts.enactment_digest(place.chain_id, place.rule_registry, found.terms)
    signature = signed if isinstance(signed, bytes) else signed.sign_digest(digest)
    refuse_other_key(official, digest, signature)
    address = official.address or ""
    now = services.clock.now()
    await life.sign_stop(tx, stop.stop_id, user, address, signature, now)


async def _counting(tx: Tx, stop_id: UUID) -> list[Row]:
    """The signatures that count, at most two: neither signer made the other's account lately."""
    rows = await life.stop_signatures(tx, stop_id)
    for n, row in enumerate(rows):
        for earlier in rows[:n]:
            if await independent(tx, earlier, row):
                return [earlier, row]
    return rows[:1]


async def _close_window(tx: Tx, services: Services, found: Version, stop: life.Stop) -> None:
    """From here on nothing is awarded for the days that the stop takes away."""
    now = services.clock.now()
    if found.what == "rule":
        await incentive.set_status(tx, found.id, found.version, "stopped", now, stop.day_to)
    else:
        # A rule's awards wait at its programme; a method's may belong to any of them.
        await tx.execute("SELECT 1 FROM programme ORDER BY programme_id FOR UPDATE")
        await methodology.enact(tx, found.id, found.version, now, stop.day_to)
    # Awards wait for the lock that was just taken: now is the moment to look once more.
    earliest = await _earliest(tx, services, found)
    if stop.day_to < earliest:
        raise Problem(
            422,
            "stop-too-early",
            f"最早可自 {earliest} 起停用,请重新下令。",
            earliest=str(earliest),
        )


async def _earliest(tx: Tx, services: Services, found: Version) -> date:
    """The first day from which it can end: today, after its first day and after every award."""
    days = await tx.fetchval(_LAST_AWARD[found.what], found.id, found.version)
    first = found.day_from + timedelta(days=1)
    today = city_day(services.clock.now(), services.settings.city_tz)
    return max(first, today, *([] if days is None else [days + timedelta(days=1)]))


async def _window_end(tx: Tx, found: Version) -> date | None:
    """The end of the window in force. Raises Problem 409 `wrong-state` unless it is enacted."""
    row = await tx.fetchrow(_WINDOW[found.what], found.id, found.version)
    if row is None or row["enacted_at"] is None:
        raise Problem(409, "wrong-state", "只有已生效的版本可以停用。", id=found.id)
    return row["day_to"]


def _ref(found: Version, stop: life.Stop) -> str:
    return f"{found.ref}/{stop.stop_id}"


_LAST_AWARD: dict[What, str] = {
    "rule": "SELECT max(city_day) FROM award WHERE rule_id = $1 AND rule_version = $2",
    "method": "SELECT max(city_day) FROM award WHERE method_id = $1 AND method_version = $2",
}
_WINDOW: dict[What, str] = {
    "rule": "SELECT enacted_at, day_to FROM rule WHERE rule_id = $1 AND version = $2",
    "method": "SELECT enacted_at, day_to FROM method WHERE method_id = $1 AND version = $2",
}
