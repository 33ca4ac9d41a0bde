"""draft → simulated → submitted → approved → public notice → enacted: a document's way in office.

Where a version stands is read from what happened to it. Nothing is edited once somebody approved:
a change is a new version. Rules and methods go the same way, except that a method is tried by its
own backtest and so needs no simulation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from backend import incentive, officials
from backend.chain import Signer, approvals
from backend.flows.enact_rule import (
    APPROVALS_NEEDED,
    PURPOSE,
    Standing,
    Version,
    What,
    add_approval,
    counting_approvals,
    enactment_digest,
    is_submitted,
    prepare_enactment,
    publish_draft,
    read_document,
    settle_enactment,
    version_of,
)
from backend.flows.government_lane import (
    Deployed,
    Government,
    deployed,
    outcome,
    standing,
    terms_now,
)
from backend.kit.clock import city_day, day_bounds
from backend.kit.db import Row, Tx
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Session, life

State = Literal[
    "draft",
    "simulated",
    "submitted",
    "approved",
    "notice",
    "enacting",
    "enacted",
    "superseded",
    "stopped",
]
NOTICE_DAYS_MAX = 365


@dataclass(frozen=True, slots=True)
class Life:
    """Where a version stands, and what brought it there.

    `approvals` are those that count; `open_objections` those without an answer; `refused` says why
    the chain refused the last enactment.
    """

    version: Version
    state: State
    steps: tuple[life.StepTaken, ...]
    approvals: tuple[Row, ...]
    simulated: bool
    notice: life.Notice | None
    open_objections: int
    upheld_objections: int
    refused: str | None

    @property
    def drafters(self) -> tuple[str, ...]:
        """Everyone who drafted it; their approval does not count."""
        return tuple(dict.fromkeys(e.actor for e in self.steps if e.step == "drafted"))


async def life_of(
    tx: Tx, services: Services, what: What, name: str, version: int, *, lock: bool = True
) -> Life:
    """Where a version stands; locked, nothing else moves it on until `tx` ends.

    Raises Problem 404 `unknown-document`.
    """
    found = await version_of(tx, what, name, version, lock=lock)
    steps = await life.steps(tx, found.key)
    counting = await counting_approvals(tx, found)
    notice = await life.notice_for(tx, found.key, found.digest)
    open_, upheld = (
        (0, 0) if notice is None else await life.objections_standing(tx, notice.notice_id)
    )
    simulated = await _simulated(tx, found)
    last = await outcome(tx, PURPOSE, found.ref)
    today = city_day(services.clock.now(), services.settings.city_tz)
    state = await _in_force(tx, found, today)
    if state is None and await standing(tx, PURPOSE, found.ref):
        state = "enacting"
    if state is None:
        state = _on_its_way(found, steps, counting, notice, simulated=simulated)
    refused = last[1] if last is not None and last[0] == "failed" else None
    return Life(
        found, state, tuple(steps), tuple(counting), simulated, notice, open_, upheld, refused
    )


async def save_draft(services: Services, by: Session, wanted: What, text: bytes) -> Version:
    """Draft a version, or draft it anew while it is not submitted.

    Raises Problem: 422 named after what is wrong with the document (`unknown-format` where it is
    not a `wanted`), 409 `already-submitted`.
    """
    user, now = by.official.official_id, services.clock.now()
    what, document = read_document(text)
    if what != wanted:
        raise Problem(422, "unknown-format", f"这里只接受 tanhui-{wanted}-v1 文件。")
    name, number = str(document.get("id")), document.get("version")
    async with services.db.transaction() as tx:
        # Two who save the same version take turns.
        await tx.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{what}/{name}/{number}"
        )
        if isinstance(number, int) and await _exists(tx, what, name, number):
            at = await life_of(tx, services, what, name, number)
            if at.state not in ("draft", "simulated") or not at.steps:
                raise Problem(
                    409, "already-submitted", "这一版已提交或已发布,请另起新版本。", id=name
                )
            if what == "rule":
                await incentive.withdraw_draft(tx, name, number)
            else:
                await tx.execute(_DELETE_METHOD, name, number)
        made = await publish_draft(tx, services.clock, text)
        await life.add_step(tx, made.key, made.digest, "drafted", user, now)
        await officials.note(
            tx, actor=user, act=f"{what}.draft", about=made.ref,
            detail={"digest": made.digest}, at=now,
        )  # fmt: skip
    return made


async def submit(services: Services, by: Session, what: What, name: str, version: int) -> Life:
    """Put a draft before the approvers. Raises Problem 409 `not-simulated`, `wrong-state`."""
    async with services.db.transaction() as tx:
        at = await life_of(tx, services, what, name, version)
        _require(at, "draft", "simulated")
        if not at.steps:
            raise Problem(409, "wrong-state", "这一版不是在系统内起草的。", id=name)
        if what == "rule" and not at.simulated:
            raise Problem(409, "not-simulated", "请先对这一版试算,再提交审批。", id=name)
        await _step(tx, services, by, at.version, "submitted")
        return await life_of(tx, services, what, name, version)


async def return_to_drafter(
    services: Services, by: Session, what: What, name: str, version: int, reason: str
) -> Life:
    """Send a submitted version back, with the reason. Raises Problem 409 `wrong-state`."""
    async with services.db.transaction() as tx:
        at = await life_of(tx, services, what, name, version)
        _require(at, "submitted", "approved")
        await _step(tx, services, by, at.version, "returned", reason)
        return await life_of(tx, services, what, name, version)


async def to_sign(tx: Tx, found: Version) -> dict[str, object] | None:
    """What an approver signs, as EIP-712 typed data; None before the contracts stand."""
    try:
        place = await deployed(tx)
    except Problem:
        return None
    return approvals.typed_data(place.chain_id, place.rule_registry, found.terms)


async def approve(
    services: Services,
    by: Session,
    what: What,
    name: str,
    version: int,
    digest: bytes,
    signed: Signer | bytes,
) -> Life:
    """Add an approval by the official's own key: `signed` is the unlocked key or its signature.

    `digest` is what the official has read; another one is refused.
    Raises Problem as `enact_rule.add_approval` does, 409 `digest-differs`, `wrong-state`.
    """
    user = by.official.official_id
    async with services.db.transaction() as tx:
        at, place = await life_of(tx, services, what, name, version), await deployed(tx)
        found = at.version
        if digest != found.digest:
            raise Problem(
                409, "digest-differs", "文件已变动,请重新查看后再审批。", digest=found.digest.hex()
            )
        if user in at.drafters:
            raise Problem(403, "own-draft", "起草人不能审批自己起草的文件。", official_id=user)
        _require(at, "submitted", "approved")
        signature = signed if isinstance(signed, bytes) else _sign(signed, place, found)
        await add_approval(tx, services.clock, place, found, user, signature)
        await officials.note(
            tx, actor=user, act=f"{what}.approve", about=found.ref,
            detail={"digest": found.digest}, at=services.clock.now(),
        )  # fmt: skip
        return await life_of(tx, services, what, name, version)


async def give_notice(
    services: Services, by: Session, what: What, name: str, version: int, days: int | None = None
) -> Life:
    """Put an approved version on public notice for `days`, at least those the place asks for.

    Raises Problem: 409 `wrong-state`, 422 `notice-too-short`, `window-too-early`.
    """
    settings, now = services.settings, services.clock.now()
    today = city_day(now, settings.city_tz)
    async with services.db.transaction() as tx:
        at = await life_of(tx, services, what, name, version)
        _require(at, "approved")
        least = await notice_days_min(tx, services, at.version)
        given = least if days is None else days
        if not least <= given <= NOTICE_DAYS_MAX:
            raise Problem(
                422, "notice-too-short", f"公示不得少于 {least} 天。", notice_days_min=least
            )
        closes_at = now
        if given:
            closes_at, _ = day_bounds(today + timedelta(days=given + 1), settings.city_tz)
        _refuse_past_window(services, at.version, today + timedelta(days=given))
        user = by.official.official_id
        await life.give_notice(tx, at.version.key, at.version.digest, now, closes_at, user)
        await officials.note(
            tx, actor=user, act=f"{what}.notice", about=at.version.ref,
            detail={"days": given, "closes_at": closes_at}, at=now,
        )  # fmt: skip
        return await life_of(tx, services, what, name, version)


async def enact(
    services: Services, government: Government, by: Session, what: What, name: str, version: int
) -> Standing:
    """Carry two approvers' signatures to the chain once the notice has closed without objection.

    Raises Problem: 409 `wrong-state`, `notice-open`, `objection-open`, `objection-upheld`,
    `window-too-early`, 503 `chain-away`.
    """
    terms = await terms_now(government)
    now, user = services.clock.now(), by.official.official_id
    async with services.db.transaction() as tx:
        place = await deployed(tx)
        at = await life_of(tx, services, what, name, version)
        found = at.version
        if at.state != "enacting":
            _require(at, "notice")
            await _refuse_open_matters(tx, at, services)
            _refuse_past_window(services, found, city_day(now, services.settings.city_tz))
            await prepare_enactment(tx, government, terms, place, found, at.approvals)
            await officials.note(
                tx, actor=user, act=f"{what}.enact", about=found.ref,
                detail={"digest": found.digest}, at=now,
            )  # fmt: skip
    addresses = tuple(sorted(row["address"] for row in at.approvals))
    done = await settle_enactment(government, found, addresses)
    if done.reason is not None and not done.enacted:
        raise Problem(502, "chain-refused", f"链上未接受:{done.reason}", id=name)
    return done


async def notice_days_min(tx: Tx, services: Services, found: Version) -> int:
    """How many days a version must lie open, as its programme's terms say.

    Of a method, which has no programme, 7 days; none in a demonstration.
    """
    if found.what == "method":
        return 7 if services.settings.profile == "production" else 0
    document = await incentive.document_of(tx, found.id, found.version)
    if document is None:
        raise LookupError(f"{found.ref} is gone")
    programme = incentive.read_rule(document).programme
    calendar = await incentive.terms_calendar(tx)
    today = city_day(services.clock.now(), services.settings.city_tz)
    return calendar.of(programme, today).notice_days


async def _refuse_open_matters(tx: Tx, at: Life, services: Services) -> None:
    """Nothing may be in the way of an enactment; objections that arrive now wait for our end."""
    if at.notice is None:
        raise LookupError(f"{at.version.ref} is on notice without one")
    await life.lock_notice(tx, at.notice.notice_id)
    open_, upheld = await life.objections_standing(tx, at.notice.notice_id)
    name, notice_id = at.version.id, str(at.notice.notice_id)
    if services.clock.now() < at.notice.closes_at:
        until = at.notice.closes_at.isoformat()
        raise Problem(409, "notice-open", "公示尚未结束。", id=name, closes_at=until)
    if open_:
        raise Problem(
            409, "objection-open", f"还有 {open_} 件异议未答复。", id=name, notice_id=notice_id
        )
    if upheld:
        raise Problem(
            409, "objection-upheld", "有异议成立,请修改后另起新版本。", id=name, notice_id=notice_id
        )
    if len(at.approvals) < APPROVALS_NEEDED:
        raise Problem(409, "wrong-state", "有效审批不足两份。", id=name)


def _refuse_past_window(services: Services, found: Version, last_day: date) -> None:
    """A version takes force in the future: on a day after `last_day`.

    A demonstration may begin on the day itself, so that its journey needs no midnight.
    """
    strict = services.settings.profile == "production"
    if (found.day_from <= last_day) if strict else (found.day_from < last_day):
        raise Problem(
            422,
            "window-too-early",
            "生效日须在将来(公示截止之后),请另起新版本并改后生效日。",
            day_from=found.day_from.isoformat(),
        )


def _require(at: Life, *allowed: State) -> None:
    if at.state not in allowed:
        raise Problem(
            409,
            "wrong-state",
            f"这一版现在的状态是 {at.state},不能做这一步。",
            id=at.version.id,
            version=at.version.version,
            state=at.state,
        )


async def _step(
    tx: Tx,
    services: Services,
    by: Session,
    found: Version,
    step: life.Step,
    reason: str | None = None,
) -> None:
    user, now = by.official.official_id, services.clock.now()
    await life.add_step(tx, found.key, found.digest, step, user, now, reason)
    await officials.note(
        tx, actor=user, act=f"{found.what}.{_ACTS[step]}", about=found.ref,
        detail={"digest": found.digest, "reason": reason}, at=now,
    )  # fmt: skip


_ACTS = {"submitted": "submit", "returned": "return", "drafted": "draft"}


def _sign(signer: Signer, place: Deployed, found: Version) -> bytes:
    return signer.sign_digest(enactment_digest(place, found))


async def _exists(tx: Tx, what: What, name: str, version: int) -> bool:
    known = 1 <= version < 2**31 and await tx.fetchval(_DIGEST[what], name, version)
    return bool(known)


async def _simulated(tx: Tx, found: Version) -> bool:
    """Whether this very document was tried over a window of real evidence, to the end."""
    if found.what == "method":
        return False
    return bool(
        await tx.fetchval(
            """SELECT EXISTS (SELECT FROM simulation AS s JOIN rule AS r USING (document)
                              WHERE r.rule_id = $1 AND r.version = $2 AND s.state = 'done')""",
            found.id,
            found.version,
        )
    )


def _on_its_way(
    found: Version,
    steps: Sequence[life.StepTaken],
    counting: Sequence[Row],
    notice: life.Notice | None,
    *,
    simulated: bool,
) -> State:
    if notice is not None:
        return "notice"
    if is_submitted(steps, found.digest):
        return "approved" if len(counting) >= APPROVALS_NEEDED else "submitted"
    return "simulated" if simulated else "draft"


async def _in_force(tx: Tx, found: Version, today: date) -> State | None:
    """`stopped`, `superseded` or `enacted`; None before that."""
    rows = await tx.fetch(
        """SELECT what, version, digest, day_from, enacted_at FROM enactment
           WHERE id = $1 AND what = ANY($2::text[]) ORDER BY enacted_at""",
        found.id,
        [found.what, "stop"],
    )
    # A stop names a document of either kind; its digest tells which.
    mine = [row for row in rows if row["digest"] == found.digest]
    if any(row["what"] == "stop" for row in mine):
        return "stopped"
    first = next((row for row in mine if row["what"] == found.what), None)
    if first is None:
        return None
    later = any(
        row["what"] == found.what
        and row["version"] > found.version
        and row["enacted_at"] >= first["enacted_at"]
        and row["day_from"] <= today
        for row in rows
    )
    return "superseded" if later else "enacted"


_DELETE_METHOD = "DELETE FROM method WHERE method_id = $1 AND version = $2"
_DIGEST: dict[What, str] = {
    "rule": "SELECT digest FROM rule WHERE rule_id = $1 AND version = $2",
    "method": "SELECT digest FROM method WHERE method_id = $1 AND version = $2",
}
