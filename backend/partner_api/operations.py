"""Signed operations described once: method, path, body, answer and refusals make a route.

The parking routes are many and alike; each is a description and a function of the signed request.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

import msgspec
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from backend.kit.openapi import Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.partner_api.documents import (
    DURING_READS,
    OF_BODIES,
    SIGNATURE_HEADERS,
    UNAUTHORIZED,
    json_answer,
)
from backend.partner_api.gate import Gate
from backend.partner_api.signed import Signed, answering_problems, signed_request

PartnerId = Annotated[str, Path(description="The partner's id", examples=["plaza-op"])]
Handler = Callable[[Signed, Request], Awaitable[Any]]
T = TypeVar("T")

BAD_SHAPE: Refusal = (422, "bad-shape", "请求体的内容不合规定")


@dataclass(frozen=True, slots=True)
class Operation:
    """A route of the signed door. `body` is the Struct it takes, None where it takes nothing.

    `answer` is an example; `media_type` other than JSON means that the handler gives bytes.
    """

    method: str
    path: str
    summary: str
    answer: Any
    body: type[msgspec.Struct] | None = None
    example: Any = None
    refusals: tuple[Refusal, ...] = ()
    status: int = 200
    bytes_max: int = 65_536
    raw: str | None = None
    media_type: str = "application/json"

    @property
    def takes_body(self) -> bool:
        """Whether a request carries one."""
        return self.body is not None or self.raw is not None


def add_operation(
    router: APIRouter, services: Services, gate: Gate, operation: Operation, handler: Handler
) -> None:
    """Put an operation on the router."""

    @router.api_route(
        operation.path,
        methods=[operation.method],
        status_code=operation.status,
        response_class=Response,
        responses=_responses(operation),
        openapi_extra=_extra(operation),
        summary=operation.summary,
        name=handler.__name__,
        description=handler.__doc__,
    )
    @answering_problems
    async def route(request: Request, partner_id: PartnerId) -> Response:
        with gate.holding_bytes() as held:
            signed = await signed_request(
                services,
                request,
                partner_id,
                held,
                bytes_max=operation.bytes_max if operation.takes_body else 0,
            )
            made = await handler(signed, request)
        content = made if isinstance(made, bytes) else msgspec.json.encode(made)
        return Response(content, operation.status, media_type=operation.media_type)


def read_body(signed: Signed, kind: type[T]) -> T:
    """The body as a Struct. Raises Problem 422 `bad-shape`, which says what is wrong."""
    try:
        return msgspec.json.decode(signed.sent, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(422, "bad-shape", f"请求体的内容不合规定:{error}") from error


def in_path(request: Request, name: str) -> str:
    """A part of the path, without the NUL that PostgreSQL's text cannot hold."""
    return str(request.path_params[name]).replace("\x00", "")[:256]


def _responses(operation: Operation) -> dict[int | str, dict[str, Any]]:
    known = [*UNAUTHORIZED, *OF_BODIES, BAD_SHAPE] if operation.takes_body else DURING_READS
    answer = json_answer("", {"type": "object"}, operation.answer)
    if operation.media_type != "application/json":
        answer = {
            "description": "",
            "content": {operation.media_type: {"schema": {"type": "string"}}},
        }
    return {
        operation.status: answer,
        **refusals(*known, *operation.refusals, (429, "too-many-requests", "平台正忙,请稍后重试")),
    }


def _extra(operation: Operation) -> dict[str, Any]:
    parts = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in parts
    ]
    extra: dict[str, Any] = {"parameters": [*SIGNATURE_HEADERS, *named]}
    if operation.body is not None:
        content = {"schema": _schema(operation.body), "example": operation.example}
        extra["requestBody"] = {"required": True, "content": {"application/json": content}}
    elif operation.raw is not None:
        content = {"schema": {"type": "string"}, "example": operation.example}
        extra["requestBody"] = {"required": True, "content": {operation.raw: content}}
    return extra


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a Struct with everything it refers to written in its place."""
    _, known = msgspec.json.schema_components((kind,), ref_template="{name}")

    def inlined(value: Any) -> Any:
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            if "$ref" in members:
                return inlined(known[members["$ref"]])
            return {name: inlined(member) for name, member in members.items()}
        if isinstance(value, list):
            return [inlined(member) for member in cast("list[Any]", value)]
        return value

    return cast("dict[str, Any]", inlined(known[kind.__name__]))
