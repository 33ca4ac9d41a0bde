"""Where a notice may be sent: checked before an endpoint is saved and again before every call.

A host is resolved once, every address it has is judged, and the call goes to an address that was
judged: a name that points elsewhere a moment later (DNS rebinding) changes nothing.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from backend.kit.settings import Settings

URL_CHARACTERS_MAX = 2_048
RESOLVE_S_MAX = 5
PORTS = frozenset({443, 8443})
LOOPBACK_PORT_MIN = 1_024
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PRINTABLE = re.compile(r"[!-~]+")

# Public by their number as Python 3.11 tells it. First: addresses of a cloud's own services (a host
# agent; the IETF block that holds another's metadata). Second: IPv6 that carries an IPv4 address,
# which a gateway on our side could unwrap (6to4, NAT64, IPv4-compatible).
_OWN_SERVICES = tuple(ipaddress.IPv4Network(net) for net in ("168.63.129.16/32", "192.0.0.0/24"))
_WRAPPING = tuple(
    ipaddress.IPv6Network(net) for net in ("2002::/16", "64:ff9b::/96", "64:ff9b:1::/48", "::/96")
)

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) → its addresses as text. Raises OSError."""


class EndpointRefused(Exception):
    """No notice goes to this address. `name` is kebab-case, `detail` a Chinese sentence."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


class Target(NamedTuple):
    """A URL in its parts; `host` in lower case, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the header Host says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """Which endpoints an installation calls: `hosts` by name or `*.name`; loopback in demo only."""

    hosts: frozenset[str] = frozenset()
    loopback: bool = False
    ports: frozenset[int] = PORTS

    @classmethod
    def of(cls, settings: Settings) -> "Policy":
        """The policy of an installation."""
        named = (host.strip().lower() for host in settings.webhook_hosts.split(","))
        return cls(frozenset(host for host in named if host), settings.profile != "production")

    def read(self, url: str) -> Target:
        """The parts of a URL that may be called, as far as it shows. Raises `EndpointRefused`."""
        parts = _split(url)
        host = parts.hostname or ""
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
        path = parts.path or "/"
        target = Target(parts.scheme, host, port, f"{path}?{parts.query}" if parts.query else path)
        if self.loopback and host in LOOPBACK_HOSTS:
            if port < LOOPBACK_PORT_MIN:
                raise EndpointRefused("endpoint-port-refused", "本机地址的端口须不小于 1024")
            return target
        if parts.scheme != "https":
            raise EndpointRefused("endpoint-not-https", "通知地址须以 https:// 开头")
        if not self._named(host):
            raise EndpointRefused(
                "endpoint-host-not-allowed", "此主机不在平台允许的通知主机之列,请联系管理员登记"
            )
        if port not in self.ports:
            raise EndpointRefused("endpoint-port-refused", "通知地址的端口须为 443 或 8443")
        return target

    async def addresses_of(self, target: Target, resolve: Resolve) -> list[str]:
        """The addresses to call, after judging all that the host has. Raises `EndpointRefused`."""
        try:
            async with asyncio.timeout(RESOLVE_S_MAX):
                found = await resolve(target.host, target.port)
        except (OSError, UnicodeError, TimeoutError):
            found = []
        if not found:
            raise EndpointRefused("endpoint-unresolvable", "通知地址的主机名无法解析")
        for address in found:
            if not self._callable(address):
                raise EndpointRefused(
                    "endpoint-address-refused", "通知地址指向内网、本机或保留地址,平台不予调用"
                )
        return found

    def _named(self, host: str) -> bool:
        if host in self.hosts:
            return True
        labels = host.split(".")
        return any("*." + ".".join(labels[n:]) in self.hosts for n in range(1, len(labels)))

    def _callable(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:  # an address with a zone is link-local
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if address.is_loopback:
            return self.loopback
        refused = _OWN_SERVICES if isinstance(address, ipaddress.IPv4Address) else _WRAPPING
        if any(address in net for net in refused):
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
            return False
        return address.is_global and not address.is_multicast and not address.is_reserved


async def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver, each once. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def judge(policy: Policy, url: str) -> None:
    """Whether notices may go to `url`, as things stand now. Raises `EndpointRefused`."""
    await policy.addresses_of(policy.read(url), resolve_host)


def _split(url: str) -> SplitResult:
    if not 1 <= len(url) <= URL_CHARACTERS_MAX or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise _malformed()
    try:
        parts = urlsplit(url)
        _ = parts.port
        host = parts.hostname or ""
        if ":" in host:
            ipaddress.IPv6Address(host)
        elif not _HOST.fullmatch(host):
            raise ValueError(host)
    except ValueError:
        raise _malformed() from None
    if "@" in parts.netloc:
        raise EndpointRefused("endpoint-has-credentials", "通知地址中不得带有用户名或口令")
    if parts.scheme not in {"https", "http"}:
        raise EndpointRefused("endpoint-not-https", "通知地址须以 https:// 开头")
    if parts.fragment or parts.port == 0:
        raise _malformed()
    return parts


def _malformed() -> EndpointRefused:
    return EndpointRefused("endpoint-malformed", "通知地址不是合法的 URL(仅 ASCII,至多 2048 字符)")
