"""What a person agrees to, word for word, and the receipt kept of it.

The words of a version never change: the stored digest is over the whole text. Movements and places
are sensitive (Personal Information Protection Law, article 28) and have a paragraph of their own.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.citizens.consents import Consent
from backend.kit.db import Tx
from backend.kit.sm import sm3

VERSION = "2026-11"

_SENSITIVE = ("transit.", "bike.", "parking.")
"""Scenarios that tell where somebody was."""

_TEXT = """授权书({version})

本人已满十四周岁,同意“{partner}”将本人在场景“{scenario}”中的低碳行为数据报送至本平台,仅用于核算减排量、发放与核验积分。

平台只保存核算所需的数据;上链的只有加盐摘要与按账户汇总的积分,不含姓名、手机号与行程。
本人可随时在“我的授权”中撤回;撤回后新的行为不再计分,此前已发放的积分保留。"""

_SENSITIVE_TEXT = """

单独同意(敏感个人信息):该场景的数据涉及行踪。平台仅保留里程、次数等计算值与必要的起止信息,原始内容按日分区加密保存,注销时删除。本人知悉处理的必要性及对个人权益的影响,并单独同意。"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A consent's receipt; `text_digest` is SM3 of the text as it was shown."""

    partner_id: str
    scenario: str
    text_version: str
    text_digest: bytes
    sensitive: bool
    given_at: datetime
    withdrawn_at: datetime | None


def is_sensitive(scenario: str) -> bool:
    """Whether a scenario's data tell where somebody was."""
    return scenario.startswith(_SENSITIVE)


def text_of(partner_name: str, scenario: str) -> str:
    """The text of the present version for a partner and a scenario."""
    text = _TEXT.format(version=VERSION, partner=partner_name, scenario=scenario)
    return text + (_SENSITIVE_TEXT if is_sensitive(scenario) else "")


async def keep_receipt(tx: Tx, consent: Consent, partner_name: str) -> None:
    """Keep what was agreed to. A consent that stood already keeps its first receipt."""
    await tx.execute(
        """INSERT INTO consent_receipt (consent_id, text_version, text_digest, sensitive, given_at)
           VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
        consent.consent_id,
        VERSION,
        sm3(text_of(partner_name, consent.scenario).encode()),
        is_sensitive(consent.scenario),
        consent.given_at,
    )


async def receipt_of(tx: Tx, citizen_id: UUID, consent_id: UUID) -> Kept | None:
    """The receipt of one of a person's consents, or None."""
    row = await tx.fetchrow(
        """SELECT c.partner_id, c.scenario, r.text_version, r.text_digest, r.sensitive, r.given_at,
                  c.withdrawn_at
           FROM consent_receipt AS r JOIN consent AS c USING (consent_id)
           WHERE c.consent_id = $1 AND c.citizen_id = $2""",
        consent_id,
        citizen_id,
    )
    return None if row is None else Kept(**row)
