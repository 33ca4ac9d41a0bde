"""The yardstick below: the same awards written as tutorials write them, one row at a time."""

import time
from datetime import UTC, date, datetime
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import StaticPool
from sqlmodel import col, select

from backend import evidence, incentive, methodology
from backend.bench.scratch import Scratch
from backend.citizens.models import CitizenAccount, Consent
from backend.evidence import EvidenceRow
from backend.evidence.models import Decision
from backend.incentive.models import AwardRow, Counter, RuleRow
from backend.kit.ids import new_id
from backend.ledger import chart, expiry_month_of
from backend.ledger.models import BalanceRow, Lot, PostingRow, Transfer
from backend.methodology.models import MethodRow
from backend.proof.models import Unsealed


async def award_per_row(ground: Scratch) -> float:
    """Seconds to award all recorded events, each by objects of its own in its own commit."""
    url = ground.server.url("app")

    async def connect(*_: Any, **__: Any) -> Any:
        return await cast("Any", asyncpg).connect(url)

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, poolclass=StaticPool
    )
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            async with ground.db.transaction(readonly=True) as tx:
                found = await tx.fetch("SELECT evidence_id FROM evidence")
            ids = [row["evidence_id"] for row in found]
            start = time.perf_counter()
            for evidence_id in ids:
                async with ground.db.transaction(readonly=True) as tx:
                    [row] = await evidence.load_evidence(tx, ground.vault, [evidence_id])
                await _award_one(session, row)
            return time.perf_counter() - start
    finally:
        await engine.dispose()


async def _award_one(session: AsyncSession, row: EvidenceRow) -> None:
    if await session.get(Decision, row.evidence_id) is not None:
        return
    consented = await session.execute(
        select(Consent).where(
            Consent.citizen_id == row.citizen_id,
            Consent.partner_id == row.partner_id,
            Consent.scenario == row.scenario,
        )
    )
    if consented.scalar_one().given_at > row.occurred_at:
        return
    method_row = (await session.execute(select(MethodRow))).scalars().first()
    rule_row = (await session.execute(select(RuleRow))).scalars().first()
    if method_row is None or rule_row is None:
        raise RuntimeError("the benchmark has no method or rule")
    method = methodology.read_method(method_row.document)
    rule = incentive.read_rule(rule_row.document)
    quantity = methodology.quantify(method, row.data or {})
    if isinstance(quantity, methodology.Refused):
        return
    reduction = incentive.Reduction(
        quantity.reduction_mg, row.scenario, row.evidence_level, method.status
    )
    paid = incentive.apply_rule(rule, reduction, row.data or {}, {}, {})
    if isinstance(paid, incentive.RuleRefused):
        return
    counters = [await _counter(session, row, rule, f"points_{c.window}") for c in rule.caps]
    used_before = [counter.value for counter in counters]
    amount, cut_by = incentive.cut(rule.caps, paid.points_before_caps, used_before)
    for counter in counters:
        counter.value += amount
    now = datetime.now(UTC)
    transfer_id = new_id()
    session.add(_decision(row, method, quantity.reduction_mg, now))
    session.add(
        AwardRow(
            award_id=new_id(),
            evidence_id=row.evidence_id,
            programme_id=rule.programme,
            citizen_id=row.citizen_id,
            city_day=row.city_day,
            rule_id=rule.id,
            rule_version=rule.version,
            rule_digest=rule.digest,
            rule_rows=list(paid.rows),
            points_before_caps=paid.points_before_caps,
            amount=amount,
            points_class=rule.points_class,
            method_id=method.id,
            method_version=method.version,
            method_digest=method.digest,
            method_status=method.status,
            scenario=row.scenario,
            evidence_level=row.evidence_level,
            origin=row.origin,
            reduction_mg=quantity.reduction_mg,
            inputs=dict(quantity.inputs),
            stated={"caps": used_before},
            cut_by=cut_by,
            transfer_id=transfer_id if amount else None,
            awarded_at=now,
        )
    )
    if amount:
        await _post(session, row, rule, transfer_id, amount, now)
    await session.commit()


def _decision(
    row: EvidenceRow, method: methodology.Method, reduction_mg: int, now: datetime
) -> Decision:
    return Decision(
        evidence_id=row.evidence_id,
        state="awarded",
        method_id=method.id,
        method_version=method.version,
        reduction_mg=reduction_mg,
        decided_at=now,
    )


async def _counter(
    session: AsyncSession, row: EvidenceRow, rule: incentive.Rule, name: str
) -> Counter:
    period = incentive.period_of(name, row.city_day)
    key = (row.citizen_id, rule.programme, name, period)
    counter = await session.get(Counter, key)
    if counter is None:
        counter = Counter(citizen_id=key[0], programme_id=key[1], name=name, period=period, value=0)
        session.add(counter)
    return counter


async def _post(
    session: AsyncSession,
    row: EvidenceRow,
    rule: incentive.Rule,
    transfer_id: Any,
    amount: int,
    now: datetime,
) -> None:
    month: date = expiry_month_of(row.city_day, 24)
    asset = chart.asset(rule.points_class)
    source = chart.programme_issued(rule.programme)
    destination = chart.citizen_points(row.citizen_id)
    account = await session.execute(
        select(CitizenAccount).where(col(CitizenAccount.citizen_id) == row.citizen_id)
    )
    account.scalars().first()
    session.add(
        Transfer(
            transfer_id=transfer_id,
            act="award",
            reason=0,
            citizen_id=row.citizen_id,
            points_class=rule.points_class,
            amount=amount,
            programme_id=rule.programme,
            rule_id=rule.id,
            rule_version=rule.version,
            city_day=row.city_day,
            created_at=now,
        )
    )
    session.add(
        PostingRow(
            transfer_id=transfer_id,
            n=0,
            source=source,
            destination=destination,
            amount=amount,
            asset=asset,
            expiry_month=month,
        )
    )
    session.add(Unsealed(kind=1, ref=transfer_id, queued_at=now))
    for name in (source, destination):
        balance = await session.get(BalanceRow, (name, asset))
        if balance is None:
            balance = BalanceRow(account=name, asset=asset, input=0, output=0)
            session.add(balance)
        balance.output += amount if name == source else 0
        balance.input += amount if name == destination else 0
    lot = await session.get(Lot, (row.citizen_id, rule.points_class, month))
    if lot is None:
        lot = Lot(
            citizen_id=row.citizen_id, points_class=rule.points_class, expiry_month=month, open=0
        )
        session.add(lot)
    lot.open += amount
