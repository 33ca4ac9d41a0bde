"""Bodies of requests: read within bounds, inflated within bounds."""

import asyncio
import zlib

from starlette.requests import ClientDisconnect, Request

from backend.kit.problems import Problem
from backend.partner_api.gate import Held

INFLATED_BYTES_MAX = 4 * 1024 * 1024
SENT_BYTES_MAX = INFLATED_BYTES_MAX + 64 * 1024
"""Incompressible data grows a little under gzip."""
GZIP_MEMBERS_MAX = 128
READ_TIMEOUT_S = 30

CONTENT_TYPES = (
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/json",
)


def check_headers(request: Request, *, gzip_allowed: bool) -> bool:
    """Whether the body is gzip. Raises `Problem` 415 on a content type or encoding not taken."""
    content_type = request.headers.get("content-type", "")
    kind, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().replace('"', "").replace(" ", "")
    if kind.strip().lower() not in CONTENT_TYPES or charset not in {"", "charset=utf-8"}:
        raise Problem(
            415,
            "unsupported-content-type",
            f"Content-Type 须为 {'、'.join(CONTENT_TYPES)} 之一,编码为 UTF-8",
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip"} or (encoding == "gzip" and not gzip_allowed):
        raise Problem(
            415,
            "unsupported-content-encoding",
            "Content-Encoding 只接受 gzip" if gzip_allowed else "此接口不接受压缩的请求体",
            headers={"Accept-Encoding": "gzip" if gzip_allowed else "identity"},
        )
    return encoding == "gzip"


async def read_body(request: Request, held: Held, bytes_max: int) -> bytes:
    """The body as it was sent. Raises `Problem` 413, 408 or 429; never reads past the bound."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:18]) > bytes_max:
        raise _too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > bytes_max:
                    raise _too_large(bytes_max)
                held.add(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(408, "body-too-slow", f"请求体未能在 {READ_TIMEOUT_S} 秒内收齐") from None
    except ClientDisconnect:
        raise Problem(408, "body-too-slow", "请求体未收齐,连接已断开") from None
    return b"".join(chunks)


def inflate(data: bytes) -> bytes:
    """Inflate gzip data of at most 128 members. Raises `Problem` 413 or 422 `bad-gzip`.

    Stops as soon as the bound is passed, however much more the data would inflate to.
    """
    parts: list[bytes] = []
    room = INFLATED_BYTES_MAX
    rest = data
    for _ in range(GZIP_MEMBERS_MAX):
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(rest, room + 1)
        except zlib.error as error:
            raise _bad_gzip() from error
        if len(part) > room:
            raise _too_large(INFLATED_BYTES_MAX)
        parts.append(part)
        room -= len(part)
        if not member.eof:
            # All input was consumed without reaching the end: it was cut off.
            raise _bad_gzip()
        rest = member.unused_data
        if not rest:
            return b"".join(parts)
    raise _bad_gzip()


def within_bounds(sent: bytes) -> bytes:
    """A body that was sent without compression, unless it passes the bound: `Problem` 413."""
    if len(sent) > INFLATED_BYTES_MAX:
        raise _too_large(INFLATED_BYTES_MAX)
    return sent


def _too_large(bytes_max: int) -> Problem:
    return Problem(
        413,
        "body-too-large",
        "请求体(解压后)不得超过 4 MiB,请分批上报",
        bytes_max=min(bytes_max, INFLATED_BYTES_MAX),
    )


def _bad_gzip() -> Problem:
    return Problem(422, "bad-gzip", "请求体不是完整的 gzip 数据")
