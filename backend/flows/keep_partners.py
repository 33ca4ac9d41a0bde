"""Partners as officials keep them: entered, keyed, rotated, their notices sent again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from backend import methodology, notices, officials, partners
from backend.flows.publish_trust import publish_trust
from backend.kit.db import Row, Tx
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Session
from backend.partners import Purpose, Scheme


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be entered: an HMAC scheme's secret is drawn by us, an SM2 key is the partner's."""

    key_id: str
    scheme: Scheme
    purpose: Purpose
    public_key: bytes | None


async def enter_partner(
    services: Services,
    by: Session,
    partner_id: str,
    name: str,
    scheme: Scheme,
    scenarios: list[str],
    *,
    replay: bool,
) -> None:
    """Enter a partner, or change its name, scheme and scenarios.

    Raises Problem: 422 `unknown-scenario`, `replay-in-production`.
    """
    unknown = sorted(set(scenarios) - methodology.scenarios().keys())
    if unknown:
        raise Problem(422, "unknown-scenario", "没有这个场景。", scenario=unknown[0])
    if replay and services.settings.profile == "production":
        raise Problem(422, "replay-in-production", "正式环境不接受历史数据回放。")
    async with services.db.transaction() as tx:
        now = services.clock.now()
        await partners.register_partner(
            tx,
            partner_id,
            name,
            required_scheme=scheme,
            scenarios=scenarios,
            now=now,
            replay=replay,
        )
        detail = {"name": name, "scheme": scheme, "scenarios": scenarios, "replay": replay}
        await _note(tx, by, "partner.enter", partner_id, detail, now)


async def add_key(
    services: Services, by: Session, partner_id: str, key: NewKey, overlap: timedelta | None = None
) -> tuple[str | None, list[str]]:
    """Enter a key; with `overlap` those of its purpose end after it. (new secret, ended keys).

    The secret of an HMAC scheme is shown here once.
    Raises Problem: 404 `unknown-partner`, 409 `key-id-taken`, `too-many-keys`, 422 `bad-key`.
    """
    hmac = key.scheme != "v1s2"
    if hmac != (key.public_key is None) or (hmac and key.purpose == "statement"):
        raise Problem(422, "bad-key", "SM2 密钥须给出公钥;HMAC 密钥由系统生成,且只用于 webhook。")
    async with services.db.transaction() as tx:
        now = services.clock.now()
        await _known(tx, services, partner_id)
        ended: list[str] = []
        if overlap is not None:
            ended = await partners.end_keys(
                tx, partner_id, now=now, overlap=overlap, purpose=key.purpose
            )
        secret = partners.new_webhook_secret() if hmac else None
        try:
            await partners.add_key(
                tx,
                services.vault,
                partner_id,
                key.key_id,
                scheme=key.scheme,
                valid_from=now,
                secret=secret,
                public_key=key.public_key,
                purpose=key.purpose,
            )
        except ValueError as error:
            raise Problem(422, "bad-key", f"密钥不合规定:{error}") from error
        detail = {
            "key_id": key.key_id, "scheme": key.scheme, "purpose": key.purpose, "ended": ended,
        }  # fmt: skip
        await _note(tx, by, "partner.key", partner_id, detail, now)
    await _publish(services, key.purpose)
    return secret, ended


async def end_key(
    services: Services, by: Session, partner_id: str, key_id: str, overlap: timedelta
) -> datetime:
    """Let a key end after `overlap`; when it ends. Raises Problem 404 `unknown-key`."""
    async with services.db.transaction() as tx:
        now = services.clock.now()
        ends = await partners.end_key(tx, partner_id, key_id, now=now, overlap=overlap)
        detail = {"key_id": key_id, "ends_at": ends}
        await _note(tx, by, "partner.key.end", partner_id, detail, now)
    await _publish(services, "statement")
    return ends


async def replay(services: Services, by: Session, partner_id: str, delivery_id: UUID) -> Row:
    """Send a settled notice again. Raises Problem as `notices.replay` does."""
    async with services.db.transaction() as tx:
        now = services.clock.now()
        row = await notices.replay(tx, partner_id, delivery_id, now)
        await _note(tx, by, "partner.replay", partner_id, {"delivery_id": delivery_id}, now)
    return row


async def _known(tx: Tx, services: Services, partner_id: str) -> None:
    if await partners.load_partner(tx, services.vault, partner_id) is None:
        raise Problem(404, "unknown-partner", "没有这个合作平台。", partner_id=partner_id)


async def _publish(services: Services, purpose: Purpose) -> None:
    """Statement keys are part of what strangers pin: the trust file follows them at once."""
    if purpose != "statement":
        return
    try:
        await publish_trust(services.db, services.vault, services.settings, services.clock)
    except Problem as problem:
        if problem.name != "not-deployed":  # The first start publishes what stands by then.
            raise


async def _note(
    tx: Tx, by: Session, act: str, about: str, detail: Mapping[str, object], at: datetime
) -> None:
    await officials.note(
        tx, actor=by.official.official_id, act=act, about=about, detail=detail, at=at
    )
