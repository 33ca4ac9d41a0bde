"""Goal: a notice goes to listed hosts at public addresses, to the very address that was judged.

Method: tables of URLs and addresses; a real TLS receiver under a name only the fake resolver has.
"""

import ssl
from pathlib import Path

import pytest

from backend.kit.settings import Settings
from backend.notices import Caller, EndpointRefused, Policy
from backend.notices.addresses import Target
from tests.flows.notice_world import an_office
from tests.notices.certificates import sides_of
from tests.notices.receiver import a_receiver, on_loopback

LISTED = Policy(frozenset({"hooks.example.cn", "*.metro.cn"}))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.example.cn", ("https", "hooks.example.cn", 443, "/")),
        ("https://HOOKS.example.CN:8443/a?b=c", ("https", "hooks.example.cn", 8443, "/a?b=c")),
        ("https://a.metro.cn/%2e%2e/x", ("https", "a.metro.cn", 443, "/%2e%2e/x")),
        ("https://a.b.metro.cn/", ("https", "a.b.metro.cn", 443, "/")),
    ],
)
def test_listed_hosts(url: str, target: tuple) -> None:
    assert LISTED.read(url) == Target(*target)


@pytest.mark.parametrize(
    "url",
    [
        "https://metro.cn/", "https://xmetro.cn/", "https://hooks.example.cn./",
        "https://hooks.example.cn\\@evil.example/", "https://evil.example\\.metro.cn/",
        "https://hooks.example.cn@evil.example/", "https://evil.example#.metro.cn/",
        "https://evil.example?.metro.cn", "https://127.0.0.1/", "https://2130706433/",
        "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://[::1]/",
        "https://[::ffff:127.0.0.1]/", "https://localhost/", "https://hooks.example.cn:443x/",
        "https:hooks.example.cn/", "//hooks.example.cn/", "javascript:1", "https://a.metro.cn:0/",
        "https://a.metro.cn:5432/", "https://a.metro.cn:80/", "http://a.metro.cn/",
        "https://a.metro.cn/\r\nHost: x", "https://a_b.metro.cn/", "https://-.metro.cn/",
        "https://" + "a" * 2048 + ".metro.cn/", "https://.metro.cn/", "https://..metro.cn/",
        "https://[fe80::1%25eth0]/",
    ],
)  # fmt: skip
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(EndpointRefused):
        LISTED.read(url)


def test_loopback_is_for_demo_and_test_and_by_its_own_names() -> None:
    open_policy = Policy(loopback=True)
    for url in ("http://127.0.0.1:9000/", "https://localhost:9000/", "http://[::1]:9000/"):
        assert open_policy.read(url).port == 9000
    for url in ("http://127.0.0.2:9000/", "http://127.0.0.1/", "http://0.0.0.0:9000/"):
        with pytest.raises(EndpointRefused):
            open_policy.read(url)
    for profile, loopback in (("demo", True), ("test", True), ("production", False)):
        settings = Settings(profile=profile, webhook_hosts=" A.cn,,*.b.cn ")  # type: ignore[arg-type]
        assert Policy.of(settings) == Policy(frozenset({"a.cn", "*.b.cn"}), loopback)


PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "1.1.1.1")
INSIDE = (
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16",
    "192.0.0.8", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
    "fe80::1%eth0",
    "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::127.0.0.1", "::a9fe:a9fe", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:db8::1", "2001::1",
    "not-an-address",
)  # fmt: skip


async def _judged(policy: Policy, *found: str) -> list[str]:
    async def resolve(_host: str, _port: int) -> list[str]:
        return list(found)

    return await policy.addresses_of(Target("https", "hooks.example.cn", 443, "/"), resolve)


@pytest.mark.parametrize("address", PUBLIC)
async def test_public_addresses(address: str) -> None:
    assert await _judged(LISTED, address) == [address]


@pytest.mark.parametrize("address", INSIDE)
async def test_addresses_inside_are_refused_alone_and_in_company(address: str) -> None:
    for found in ((address,), (PUBLIC[0], address), (address, PUBLIC[0])):
        with pytest.raises(EndpointRefused, match="endpoint-address-refused"):
            await _judged(LISTED, *found)


async def test_loopback_opens_loopback_only() -> None:
    open_policy = Policy(loopback=True)
    for address in INSIDE:
        if address in {"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"}:
            assert await _judged(open_policy, address) == [address]
        else:
            with pytest.raises(EndpointRefused):
                await _judged(open_policy, address)


@pytest.mark.sockets
class TestCalling:
    """The name exists for the fake resolver only, so whoever arrives came by its answer."""

    async def _call(self, port: int, client: ssl.SSLContext, name: str, office) -> str | None:
        policy = Policy(frozenset({name}), loopback=True, ports=frozenset({port}))
        caller = Caller(policy, resolve=on_loopback, tls=client)
        try:
            outcome = await caller.call(
                f"https://{name}:{port}/", {"webhook-id": "m"}, b"{}", office.clock.now()
            )
        finally:
            await caller.close()
        return outcome.error

    async def test_the_judged_address_is_called_with_the_names_certificate(
        self, db, vault, tmp_path: Path
    ) -> None:
        name = "receiver.invalid"
        server, client = sides_of(name, tmp_path)
        async with a_receiver(tls=server) as receiver:
            assert await self._call(receiver.port, client, name, an_office(db, vault)) is None
        assert receiver.got[0].headers["host"] == f"{name}:{receiver.port}"

    async def test_another_names_certificate_is_refused(self, db, vault, tmp_path: Path) -> None:
        server, client = sides_of("other.invalid", tmp_path)
        async with a_receiver(tls=server) as receiver:
            error = await self._call(
                receiver.port, client, "receiver.invalid", an_office(db, vault)
            )
        assert error == "tls-failed"
        assert receiver.got == []

    async def test_an_address_that_takes_no_connection_gives_way_to_the_next(
        self, db, vault
    ) -> None:
        async def both(_host: str, _port: int) -> list[str]:
            return ["127.0.0.2", "127.0.0.1"]

        async with a_receiver() as receiver:
            caller = Caller(Policy(loopback=True), resolve=both)
            outcome = await caller.call(
                receiver.url.replace("127.0.0.1", "localhost"),
                {},
                b"{}",
                an_office(db, vault).clock.now(),
            )
            await caller.close()
        assert outcome.accepted
        assert len(receiver.got) == 1

    async def test_the_environments_proxy_is_not_asked(
        self, db, vault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with a_receiver() as receiver:
            caller = Caller(Policy(loopback=True))
            outcome = await caller.call(receiver.url, {}, b"{}", an_office(db, vault).clock.now())
            await caller.close()
        assert outcome.accepted
