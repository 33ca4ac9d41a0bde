"""WeChat and Alipay over real sockets: who somebody is, and what their error numbers mean."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from backend.citizens import providers
from backend.citizens.alipay import Alipay
from backend.citizens.providers import Gate, WeChat
from backend.kit.clock import FixedClock
from backend.kit.problems import Problem
from tests.citizens.provider_server import AlipayKeys, ProviderServer

SESSION = "/sns/jscode2session"


@pytest.fixture
async def there() -> AsyncIterator[ProviderServer]:
    async with ProviderServer().serve() as there:
        yield there


@pytest.fixture
def wechat(there: ProviderServer) -> WeChat:
    return WeChat(there.url, "wx-app", "app-secret")


async def test_wechat_names_a_person(there: ProviderServer, wechat: WeChat) -> None:
    there.answers[SESSION] = {"openid": "o-1", "session_key": "never-leaves"}
    found = await wechat.identify("js-code")
    assert (found.ref, found.openid) == ("o-1", "o-1")
    assert "never-leaves" not in repr(found)
    [(_, asked, _)] = there.asked
    assert asked == {
        "appid": "wx-app",
        "secret": "app-secret",
        "js_code": "js-code",
        "grant_type": "authorization_code",
    }
    there.answers[SESSION] = {"openid": "o-1", "unionid": "u-1", "session_key": "k"}
    assert (await wechat.identify("other")).ref == "u-1"


@pytest.mark.parametrize(
    ("errcode", "status", "name", "retry"),
    [
        (-1, 503, "provider-away", "5"),
        (40029, 401, "code-refused", None),
        (40163, 401, "code-refused", None),
        (45011, 429, "provider-busy", "60"),
        (40226, 403, "account-at-risk", None),
        (40013, 503, "provider-away", "30"),
    ],
)
async def test_what_wechat_s_error_numbers_mean(
    there: ProviderServer,
    wechat: WeChat,
    errcode: int,
    status: int,
    name: str,
    retry: str | None,
) -> None:
    there.answers[SESSION] = {"errcode": errcode, "errmsg": "secret words of theirs"}
    with pytest.raises(Problem) as refused:
        await wechat.identify("js-code")
    assert (refused.value.status, refused.value.name) == (status, name)
    assert refused.value.headers.get("Retry-After") == retry
    assert "secret words" not in json.dumps(refused.value.document())


@pytest.mark.parametrize("said", [b"<html>", b"[]", b"", {}, {"openid": 7}, {"openid": ""}])
async def test_an_answer_that_is_none_counts_as_away(
    there: ProviderServer, wechat: WeChat, said: object
) -> None:
    there.answers[SESSION] = said
    with pytest.raises(Problem, match="provider-away"):
        await wechat.identify("js-code")


async def test_a_slow_or_dead_provider_is_given_up_soon(
    there: ProviderServer,
    wechat: WeChat,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(providers, "TIMEOUT_S", 0.2)
    there.free.clear()
    started_s = time.monotonic()
    with pytest.raises(Problem, match="provider-away"):
        await wechat.identify("js-code")
    assert time.monotonic() - started_s < 2
    dead = WeChat("http://127.0.0.1:9", "wx-app", "app-secret")
    with pytest.raises(Problem, match="provider-away"):
        await dead.identify("js-code")
    # Our own secret rides in the address, and so must not reach the log.
    assert "app-secret" not in "".join(capsys.readouterr())


async def test_no_more_than_so_many_ask_at_once(
    there: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "AT_ONCE_MAX", 3)
    there.answers["/x"] = {"ok": 1}
    there.free.clear()
    asyncio.get_running_loop().call_later(0.2, there.free.set)
    gate = Gate("wechat")
    asked = await asyncio.gather(
        *(gate.ask("GET", f"{there.url}/x") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(each, dict) for each in asked) == 3
    assert {each.name for each in asked if isinstance(each, Problem)} == {"provider-busy"}
    assert await gate.ask("GET", f"{there.url}/x") == {"ok": 1}


async def test_wechat_s_phone_number(there: ProviderServer, wechat: WeChat) -> None:
    there.answers["/cgi-bin/stable_token"] = {"access_token": "t-1", "expires_in": 7200}
    there.answers["/wxa/business/getuserphonenumber"] = {
        "errcode": 0,
        "phone_info": {"phoneNumber": "13800000001", "countryCode": "86"},
    }
    assert await wechat.phone("phone-code") == "13800000001"
    assert there.asked[1][1] == {"access_token": "t-1"}
    there.answers["/wxa/business/getuserphonenumber"] = {"errcode": 40029}
    with pytest.raises(Problem, match="code-refused"):
        await wechat.phone("phone-code")
    there.answers["/wxa/business/getuserphonenumber"] = {"phone_info": {"phoneNumber": "abc"}}
    with pytest.raises(Problem, match="code-refused"):
        await wechat.phone("phone-code")


async def test_a_message_goes_out_as_long_as_it_is_allowed(
    there: ProviderServer, wechat: WeChat
) -> None:
    there.answers["/cgi-bin/stable_token"] = {"access_token": "t-1"}
    there.answers["/cgi-bin/message/subscribe/send"] = {"errcode": 0}
    assert await wechat.push("o-1", "template", "pages/wallet", {"thing1": "兑换成功"})
    assert json.loads(there.asked[-1][2])["data"] == {"thing1": {"value": "兑换成功"}}
    there.answers["/cgi-bin/message/subscribe/send"] = {"errcode": 43101}
    assert not await wechat.push("o-1", "template", "pages/wallet", {})


@pytest.fixture(scope="module")
def keys() -> AlipayKeys:
    return AlipayKeys()


class TestAlipay:
    @pytest.fixture
    def alipay(self, there: ProviderServer, keys: AlipayKeys, clock: FixedClock) -> Alipay:
        gateway = f"{there.url}/gateway.do"
        return Alipay(gateway, "2021", keys.our_pem, keys.their_pem, clock)

    async def test_names_a_person(
        self, there: ProviderServer, alipay: Alipay, keys: AlipayKeys
    ) -> None:
        there.answers["/gateway.do"] = keys.gateway({"user_id": "2088", "access_token": "x"})
        assert (await alipay.identify("auth-code")).ref == "2088"
        assert "timestamp=2026-11-22+12%3A00%3A00" in there.asked[0][2]

    async def test_an_answer_it_has_not_signed_is_none(
        self, there: ProviderServer, alipay: Alipay, keys: AlipayKeys
    ) -> None:
        there.answers["/gateway.do"] = keys.gateway({"user_id": "2088"}, tamper=True)
        with pytest.raises(Problem, match="provider-away"):
            await alipay.identify("auth-code")
        there.answers["/gateway.do"] = {"alipay_system_oauth_token_response": {"user_id": "2088"}}
        with pytest.raises(Problem, match="provider-away"):
            await alipay.identify("auth-code")

    @pytest.mark.parametrize(
        ("sub_code", "name"),
        [
            ("isv.code-invalid", "code-refused"),
            ("isp.unknow-error", "provider-away"),
            ("x", "provider-away"),
        ],
    )
    async def test_its_errors(
        self, there: ProviderServer, alipay: Alipay, sub_code: str, name: str
    ) -> None:
        there.answers["/gateway.do"] = {"error_response": {"code": "40002", "sub_code": sub_code}}
        with pytest.raises(Problem, match=name):
            await alipay.identify("auth-code")

    async def test_it_has_no_phone_for_us(self, alipay: Alipay) -> None:
        with pytest.raises(Problem, match="phone-not-available"):
            await alipay.phone("code")
