"""Sign-in providers: each turns a one-time code into what the provider calls the person."""

import re

from backend.kit.clock import Clock
from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.kit.settings import Profile
from backend.kit.sm import sm3

NAMES = ("wechat", "alipay", "sandbox")
_UUID_NONCE = re.compile(
    r"(?P<name>.+)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
_NONCE = re.compile(r"(?P<name>.+)-[^-\s]+")
_NAME_CHARACTERS_MAX = 64


def refuse_unavailable(provider: str, profile: Profile) -> None:
    """Raise Problem 501 `provider-not-available` unless this installation can ask `provider`."""
    if provider == "sandbox" and profile != "production":
        return
    raise Problem(
        501,
        "provider-not-available",
        "这个登录渠道尚未接入本系统。" if provider != "sandbox" else "正式环境不提供沙箱登录。",
        provider=provider,
    )


def sandbox_name(code: str) -> str:
    """The citizen's name in a sandbox code `<name>-<nonce>`.

    The nonce is a trailing UUID, else whatever follows the last hyphen.
    Raises Problem 401 `code-refused` for any other shape.
    """
    match = _UUID_NONCE.fullmatch(code) or _NONCE.fullmatch(code)
    if match is None or len(match["name"]) > _NAME_CHARACTERS_MAX or not match["name"].strip():
        raise Problem(401, "code-refused", "沙箱登录码的格式是 <姓名>-<一次性后缀>。")
    return match["name"]


async def spend_code(tx: Tx, provider: str, code: str, clock: Clock) -> None:
    """Use a code up. Raises Problem 401 `code-refused` when it was used before."""
    tag = await tx.execute(
        """INSERT INTO login_code_used (provider, code_hash, used_at) VALUES ($1, $2, $3)
           ON CONFLICT DO NOTHING""",
        provider,
        sm3(code.encode()),
        clock.now(),
    )
    if tag != "INSERT 0 1":
        raise Problem(401, "code-refused", "登录码只能使用一次,请换一个后缀重试。")
