"""The yardstick below: the same recording written as tutorials write it, one row at a time."""

import hashlib
import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import StaticPool
from sqlmodel import select

from backend.bench.scratch import Scratch
from backend.citizens.models import Binding, Consent
from backend.evidence.models import Evidence, EvidenceBody, EvidenceKey
from backend.kit import canonical
from backend.kit.clock import city_day, parse_time
from backend.kit.ids import new_id
from backend.kit.models import Outbox
from backend.kit.sm import sm3, sm4_ctr


class _Data(BaseModel):
    distance_m: int
    duration_s: int


class _Event(BaseModel):
    specversion: str
    id: str
    source: str
    type: str
    time: str
    subject: str
    data: _Data


async def record_per_row(ground: Scratch, partner_id: str, scenario: str, body: bytes) -> float:
    """Seconds to record the events of `body`, each by objects of its own in its own commit."""
    url = ground.server.url("app")

    async def connect(*_: Any, **__: Any) -> Any:
        return await cast(Any, asyncpg).connect(url)

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, poolclass=StaticPool
    )
    day = datetime.now(UTC).date()
    async with ground.owner.transaction() as tx:
        await tx.execute("SELECT evidence_open_day($1)", day)
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            key = hashlib.sha256(b"bench").digest()[:16]
            if await session.get(EvidenceKey, day) is None:
                session.add(EvidenceKey(day=day, key_sealed=key))
                await session.commit()
            start = time.perf_counter()
            for raw in json.loads(body):
                await _record_one(session, partner_id, scenario, raw, key)
            return time.perf_counter() - start
    finally:
        await engine.dispose()


async def _record_one(
    session: AsyncSession, partner_id: str, scenario: str, raw: dict[str, Any], key: bytes
) -> None:
    event = _Event.model_validate(raw)
    plain = canonical.dumps(raw)
    digest = sm3(b"tanhui-event-v1\n" + partner_id.encode() + b"\n" + plain)
    known = await session.execute(
        select(Evidence).where(
            Evidence.partner_id == partner_id,
            Evidence.source == event.source,
            Evidence.event_id == event.id,
        )
    )
    bound = await session.execute(
        select(Binding).where(Binding.token_hash == sm3(event.subject.encode()))
    )
    if known.scalar_one_or_none() is not None:
        return
    binding = bound.scalar_one()
    consented = await session.execute(
        select(Consent).where(
            Consent.citizen_id == binding.citizen_id,
            Consent.partner_id == partner_id,
            Consent.scenario == scenario,
        )
    )
    occurred = parse_time(event.time)
    if consented.scalar_one().given_at > occurred.instant:
        return
    now = datetime.now(UTC)
    row = Evidence(
        evidence_id=new_id(),
        upload_id=new_id(),
        partner_id=partner_id,
        source=event.source,
        event_id=event.id,
        event_digest=digest,
        scenario=event.type,
        citizen_id=binding.citizen_id,
        occurred_at=occurred.instant,
        occurred_text=event.time,
        city_day=city_day(occurred.instant, "Asia/Shanghai"),
        origin="shared-secret",
        evidence_level="L2",
        recorded_at=now,
    )
    nonce = secrets.token_bytes(16)
    session.add(row)
    session.add(
        EvidenceBody(
            evidence_id=row.evidence_id,
            recorded_day=now.date(),
            nonce=nonce,
            position=0,
            body=sm4_ctr(key, nonce, plain),
        )
    )
    session.add(
        Outbox(
            topic="award",
            key=str(row.evidence_id),
            payload={"count": 1},
            available_at=now,
            attempts=0,
            created_at=now,
        )
    )
    await session.commit()
