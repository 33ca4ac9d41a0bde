"""One call of an endpoint: to a judged address, within 15 s, following nothing, believing little.

Only the status and Retry-After are read. The body of an answer is left where it is: what a
partner's machine says is shown to nobody, so an endpoint is no window into a network.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx

from backend.notices.addresses import EndpointRefused, Policy, Resolve, Target, resolve_host
from backend.notices.schedule import RETRY_AFTER_S_MAX, Outcome

CALL_S_MAX = 15
CONNECT_S_MAX = 5
ADDRESSES_MAX = 3


class Caller:
    """Calls endpoints. Open one for a process and `close` it; calls may run side by side."""

    def __init__(
        self,
        policy: Policy,
        *,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = CALL_S_MAX,
    ) -> None:
        self.policy = policy
        self._resolve = resolve
        self._timeout_s = timeout_s
        # The bare transport: no redirects, no cookies, no proxy of the environment. Connections
        # are not kept, because two hosts on one address must not share one.
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls or ssl.create_default_context(),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def call(
        self, url: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Outcome:
        """POST `body` and tell what came of it; never raises for what the other side does."""
        start_s = time.monotonic()

        def outcome(
            status: int | None = None, error: str | None = None, retry_after_s: int | None = None
        ) -> Outcome:
            duration_ms = int((time.monotonic() - start_s) * 1000)
            return Outcome(duration_ms, status, error, retry_after_s)

        try:
            async with asyncio.timeout(self._timeout_s):
                target = self.policy.read(url)
                addresses = await self.policy.addresses_of(target, self._resolve)
                status, answered = await self._post_to_one(target, addresses, headers, body)
        except EndpointRefused as refused:
            return outcome(error=refused.name)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout):
            return outcome(error="timeout")
        except httpx.ConnectTimeout:
            return outcome(error="connect-timeout")
        except httpx.ConnectError as error:
            return outcome(error="tls-failed" if _is_tls(error) else "connect-failed")
        except httpx.RemoteProtocolError:
            return outcome(error="answer-malformed")
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return outcome(error="connection-lost")
        error = None if 200 <= status < 300 else f"status-{status}"
        return outcome(status, error, read_retry_after(answered.get("retry-after"), now))

    async def close(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    async def _post_to_one(
        self, target: Target, addresses: Sequence[str], headers: Mapping[str, str], body: bytes
    ) -> tuple[int, httpx.Headers]:
        """The first address that takes the connection; nothing was sent to those that did not."""
        *others, last = addresses[:ADDRESSES_MAX]
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._post(target, address, headers, body)
        return await self._post(target, last, headers, body)

    async def _post(
        self, target: Target, address: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, httpx.Headers]:
        place = f"[{address}]" if ":" in address else address
        request = httpx.Request(
            "POST",
            f"{target.scheme}://{place}:{target.port}{target.path}",
            headers={
                **headers,
                "host": target.authority,
                "content-type": "application/json",
                "user-agent": "tanhui-notices/1",
                "accept-encoding": "identity",
                "connection": "close",
            },
            content=body,
            extensions={
                # The certificate has to be that of the name, though we call the address.
                "sni_hostname": target.host,
                "timeout": {
                    "connect": CONNECT_S_MAX,
                    "read": self._timeout_s,
                    "write": self._timeout_s,
                    "pool": self._timeout_s,
                },
            },
        )
        response = await self._transport.handle_async_request(request)
        await response.aclose()
        return response.status_code, response.headers


def read_retry_after(text: str | None, now: datetime) -> int | None:
    """Seconds that a Retry-After header asks for, at most a day; None if it asks for none."""
    if text is None or len(text) > 64:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(int(text), RETRY_AFTER_S_MAX)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        return None
    wait_s = int((until - now).total_seconds())
    return min(wait_s, RETRY_AFTER_S_MAX) if wait_s > 0 else None


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
