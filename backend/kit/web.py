"""What every request passes through: limits, one log line, measures, safe headers, no bare 500.

Plain ASGI, because a wrapper that reads and re-sends each body would cost more than the doors.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.kit.db import DATABASE_AWAY
from backend.kit.logs import log
from backend.kit.problems import Problem, problem_response

LATENCY_BOUNDS_S = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)

_POLICY = (
    b"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
    b" form-action 'none'; frame-ancestors 'none'"
)
SAFE_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY),
)
"""Set on every answer that does not set them itself."""


@dataclass(slots=True)
class _Measure:
    count: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * len(LATENCY_BOUNDS_S))


@dataclass(slots=True)
class Measures:
    """Requests of this process by method, route and status, with their latency."""

    by_route: dict[tuple[str, str, int], _Measure] = field(
        default_factory=dict[tuple[str, str, int], _Measure]
    )

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        measure = self.by_route.setdefault((method, route, status), _Measure())
        measure.count += 1
        measure.seconds += seconds
        for place, bound_s in enumerate(LATENCY_BOUNDS_S):
            if seconds <= bound_s:
                measure.buckets[place] += 1

    def lines(self) -> list[str]:
        """Prometheus text: a counter, and a histogram of latency, by route."""
        lines = [
            "# TYPE tanhui_http_requests_total counter",
            "# TYPE tanhui_http_request_seconds histogram",
        ]
        for (method, route, status), measure in sorted(self.by_route.items()):
            labels = f'method="{method}",route="{route}",status="{status}"'
            lines.append(f"tanhui_http_requests_total{{{labels}}} {measure.count}")
            for bound_s, count in zip(LATENCY_BOUNDS_S, measure.buckets, strict=True):
                lines.append(
                    f'tanhui_http_request_seconds_bucket{{{labels},le="{bound_s}"}} {count}'
                )
            lines.append(
                f'tanhui_http_request_seconds_bucket{{{labels},le="+Inf"}} {measure.count}'
            )
            lines.append(f"tanhui_http_request_seconds_sum{{{labels}}} {measure.seconds:.6f}")
            lines.append(f"tanhui_http_request_seconds_count{{{labels}}} {measure.count}")
        return lines


class BodyTooLarge(HTTPException):
    """The caller sends more than the route takes; an HTTPException passes the framework whole."""

    def __init__(self) -> None:
        super().__init__(413, "body-too-large")


class Watch:
    """The outermost layer of the application."""

    def __init__(
        self, app: ASGIApp, measures: Measures, body_bytes_max: Callable[[str], int]
    ) -> None:
        self._app = app
        self._measures = measures
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of connection pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        answer = _Answer(send)
        try:
            await self._app(scope, self._bounded(scope, receive), answer)
        except Exception as error:
            if answer.status is not None:
                raise
            await problem_response(_problem_of(error))(scope, receive, answer)
        finally:
            self._note(scope, answer.status or 500, time.perf_counter() - started_s)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        allowed = self._body_bytes_max(scope["path"])
        seen = 0

        async def read() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > allowed:
                raise BodyTooLarge
            return message

        return read

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._measures.add(scope["method"], route, status, seconds)
        log(
            "request_answered",
            method=scope["method"],
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
        )


class _Answer:
    """Remembers the status and adds the headers that are missing."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name.lower() for name, _ in message.get("headers", ())}
            message["headers"] = [
                *message.get("headers", ()),
                *(header for header in SAFE_HEADERS if header[0] not in present),
            ]
        await self._send(message)


def _problem_of(error: Exception) -> Problem:
    """What a caller is told of an error nobody meant to happen: never its text."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, BodyTooLarge):
        return Problem(413, "body-too-large", "请求体过大。")
    if isinstance(error, DATABASE_AWAY):
        log("database_away", error=repr(error)[:300])
        return Problem(
            503, "database-away", "数据库暂时不可用,请稍后重试。", headers={"Retry-After": "2"}
        )
    log("request_failed", error=repr(error)[:300], trace=traceback.format_exc()[-4000:])
    return Problem(500, "internal-error", "系统内部出错,已记录,请稍后重试。")
