"""What a notice says, in Chinese and in English: one sentence for each topic, made of its facts."""

from collections.abc import Mapping
from typing import Any, Literal

Language = Literal["zh", "en"]

TOPICS: dict[str, tuple[str, str, str, str]] = {
    "redemption.posted": (
        "兑换成功",
        "“{reward}”已到账,使用 {points} 积分。",
        "Redeemed",
        "{reward} is yours for {points} points.",
    ),
    "redemption.voided": (
        "兑换未成功",
        "“{reward}”未能兑换,预扣的 {points} 积分已退回。",
        "Not redeemed",
        "{reward} could not be handed over; your {points} points are free again.",
    ),
    "redemption.refunded": (
        "兑换已退回",
        "{points} 积分已返还到原来的有效期。",
        "Given back",
        "{points} points are back in your account.",
    ),
    "points.expired": (
        "积分已到期",
        "{points} 积分已过有效期,按规定注销。",
        "Points lapsed",
        "{points} points have lapsed and were retired.",
    ),
    "case.upheld": ("申诉成立", "理由:{reason}", "Appeal upheld", "Reason: {reason}"),
    "case.rejected": ("申诉不成立", "理由:{reason}", "Appeal rejected", "Reason: {reason}"),
    "clawback.upheld": (
        "积分已追回",
        "一笔积分经两人复核后追回。理由:{reason} 您可以申诉。",
        "Points taken back",
        "Two officials took an award back. Reason: {reason} You may appeal.",
    ),
}
"""Topic → title and sentence in Chinese, title and sentence in English."""


def title_and_text(topic: str, facts: Mapping[str, Any], language: Language) -> tuple[str, str]:
    """What a person reads; an unknown topic is shown by its name."""
    words = TOPICS.get(topic)
    if words is None:
        return topic, ""
    title, text = words[:2] if language == "zh" else words[2:]
    return title, text.format_map({"reason": "", "reward": "", "points": 0} | dict(facts))
