"""Sign-in providers: each turns a one-time code into what the provider calls the person.

One port for all. A provider is asked without any transaction open and answers within seconds or
counts as away, so a slow one takes nothing else down. Its session keys end here.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Protocol, cast

import httpx

from backend.kit.clock import Clock
from backend.kit.db import Tx
from backend.kit.logs import log
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem
from backend.kit.sm import sm3

NAMES = ("wechat", "alipay", "sandbox")
TIMEOUT_S = 3.0
AT_ONCE_MAX = 50
"""Questions to one provider at once; those beyond are told to come back."""

CODE_REFUSED: Refusal = (401, "code-refused", "登录码无效或已使用,请重新获取。")
PROVIDER_AWAY: Refusal = (503, "provider-away", "登录渠道暂时没有回答,请稍后重试。")
PROVIDER_BUSY: Refusal = (429, "provider-busy", "操作太频繁,请一分钟后再试。")
RISKY: Refusal = (403, "account-at-risk", "登录渠道提示该账号存在风险,暂不能登录。")
NO_PHONE: Refusal = (501, "phone-not-available", "这个登录渠道暂不支持绑定手机号。")

_UUID_NONCE = re.compile(
    r"(?P<name>.+)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
_NONCE = re.compile(r"(?P<name>.+)-[^-\s]+")
_NAME_CHARACTERS_MAX = 64
_PHONE = re.compile(r"\+?[0-9]{6,15}")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a provider calls a person; `openid` is what messages to them are addressed to."""

    ref: str
    openid: str | None


class Provider(Protocol):
    """Answers for one-time codes. Raises Problem, one of the refusals above."""

    async def identify(self, code: str) -> Identity:
        """Who signs in with this code."""
        ...

    async def phone(self, code: str) -> str:
        """The phone number that a code for it stands for, digits with an optional `+`."""
        ...


class Sandbox:
    """Anybody is whoever they say: for demonstrations and tests, never in production."""

    async def identify(self, code: str) -> Identity:
        """`<name>-<nonce>` is the citizen of that name; the nonce is a UUID, else the last part."""
        return Identity(_sandbox_part(code, "沙箱登录码的格式是 <姓名>-<一次性后缀>。"), None)

    async def phone(self, code: str) -> str:
        """`<phone>-<nonce>` is that phone."""
        number = _sandbox_part(code, "沙箱手机号码的格式是 <号码>-<一次性后缀>。")
        return checked_phone(number)


class WeChat:
    """`jscode2session` and `getuserphonenumber` of a mini-program's own server side."""

    def __init__(self, base_url: str, app_id: str, secret: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._app_id = app_id
        self._secret = secret
        self._gate = Gate("wechat")

    async def identify(self, code: str) -> Identity:
        """The unionid where the app is bound to one, else the openid."""
        answer = await self._gate.ask(
            "GET",
            f"{self._base_url}/sns/jscode2session",
            params={
                "appid": self._app_id,
                "secret": self._secret,
                "js_code": code,
                "grant_type": "authorization_code",
            },
        )
        _refuse_wechat(answer)
        openid, unionid = answer.get("openid"), answer.get("unionid")
        if not isinstance(openid, str) or not openid:
            raise Problem(*PROVIDER_AWAY, headers={"Retry-After": "5"})
        named = unionid if isinstance(unionid, str) and unionid else openid
        return Identity(named, openid)

    async def phone(self, code: str) -> str:
        """The number without its country code, as the person gave it to the provider."""
        answer = await self._gate.ask(
            "POST",
            f"{self._base_url}/wxa/business/getuserphonenumber",
            params={"access_token": await self.access_token()},
            json={"code": code},
        )
        _refuse_wechat(answer)
        info = answer.get("phone_info")
        number = cast("dict[str, Any]", info).get("phoneNumber") if isinstance(info, dict) else None
        if not isinstance(number, str):
            raise Problem(*PROVIDER_AWAY, headers={"Retry-After": "5"})
        return checked_phone(number)

    async def access_token(self) -> str:
        """The server's own token; the stable interface gives the same one until it expires."""
        answer = await self._gate.ask(
            "POST",
            f"{self._base_url}/cgi-bin/stable_token",
            json={
                "grant_type": "client_credential",
                "appid": self._app_id,
                "secret": self._secret,
            },
        )
        _refuse_wechat(answer)
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise Problem(*PROVIDER_AWAY, headers={"Retry-After": "5"})
        return token

    async def push(self, openid: str, template_id: str, page: str, data: dict[str, str]) -> bool:
        """Send a subscribe message; False where the person allows none any more (43101)."""
        answer = await self._gate.ask(
            "POST",
            f"{self._base_url}/cgi-bin/message/subscribe/send",
            params={"access_token": await self.access_token()},
            json={
                "touser": openid,
                "template_id": template_id,
                "page": page,
                "data": {name: {"value": value} for name, value in data.items()},
            },
        )
        if answer.get("errcode") == 43101:
            return False
        _refuse_wechat(answer)
        return True


class Gate:
    """Asks one provider: a few questions at once, each answered within seconds or not at all."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._free = AT_ONCE_MAX

    async def ask(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        """The JSON object a provider answers with. Raises Problem 503 or 429."""
        if not self._free:
            raise Problem(*PROVIDER_BUSY, headers={"Retry-After": "2"})
        self._free -= 1
        try:
            async with asyncio.timeout(TIMEOUT_S), httpx.AsyncClient(timeout=TIMEOUT_S) as http:
                answer = await http.request(method, url, **options)
                said = answer.raise_for_status().json()
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            # The error's text may quote the address, and with it the app's secret.
            log("provider_away", provider=self._name, error=type(error).__name__)
            raise Problem(*PROVIDER_AWAY, headers={"Retry-After": "5"}) from None
        finally:
            self._free += 1
        if not isinstance(said, dict):
            raise Problem(*PROVIDER_AWAY, headers={"Retry-After": "5"})
        return cast("dict[str, Any]", said)


_WECHAT: dict[int, tuple[Refusal, str | None]] = {
    -1: (PROVIDER_AWAY, "5"),
    40029: (CODE_REFUSED, None),
    40163: (CODE_REFUSED, None),
    45011: (PROVIDER_BUSY, "60"),
    40226: (RISKY, None),
}
"""What the provider's error numbers mean here; any other one is the operator's matter."""


def _refuse_wechat(answer: dict[str, Any]) -> None:
    error = answer.get("errcode", 0)
    if not error:
        return
    log("provider_refused", provider="wechat", errcode=error)
    refusal, retry = _WECHAT.get(error, (PROVIDER_AWAY, "30"))
    headers = None if retry is None else {"Retry-After": retry}
    raise Problem(*refusal, headers=headers, provider="wechat")


def checked_phone(number: str) -> str:
    """The number, if it is one. Raises Problem 401 `code-refused`."""
    if _PHONE.fullmatch(number) is None:
        raise Problem(*CODE_REFUSED)
    return number


def _sandbox_part(code: str, shape: str) -> str:
    match = _UUID_NONCE.fullmatch(code) or _NONCE.fullmatch(code)
    if match is None or len(match["name"]) > _NAME_CHARACTERS_MAX or not match["name"].strip():
        raise Problem(401, "code-refused", shape)
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
