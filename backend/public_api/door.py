"""The public door put together, and the three routes that machines watch."""

from dataclasses import dataclass

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from backend import proof, views
from backend.chain import ChainClient, NodeAway, RpcError
from backend.kit.db import DATABASE_AWAY
from backend.kit.openapi import Refusal, refusals
from backend.kit.services import Services
from backend.kit.web import Measures
from backend.public_api.audit import add_audit
from backend.public_api.circulation import CurrentSupply, add_circulation
from backend.public_api.documents import add_documents
from backend.public_api.library import add_library
from backend.public_api.log import add_log
from backend.public_api.notice_pages import add_notice_pages
from backend.public_api.notices import add_notices
from backend.public_api.pages import add_pages
from backend.public_api.partners import add_partners
from backend.public_api.rpc import add_rpc
from backend.public_api.shared import add_shared
from backend.public_api.verify_page import add_verify_page

NOT_READY: Refusal = (503, "not-ready", "系统尚未就绪。")


@dataclass(frozen=True, slots=True)
class PublicTools:
    """What the public door needs beside the services: the node, and this process's measures."""

    client: ChainClient
    measures: Measures


def router(services: Services, tools: PublicTools) -> APIRouter:
    """The routes under `/public/v1`, the start page and `/docs`."""
    door = APIRouter(tags=["public"])
    public = APIRouter(prefix="/public/v1")
    add_log(public, services)
    add_documents(public, services)
    add_notices(public, services)
    add_partners(public, services)
    add_audit(public, services)
    supply = CurrentSupply(services, tools.client)
    add_circulation(public, services, supply)
    add_shared(public, services)
    add_rpc(public, services, tools.client)
    door.include_router(public)
    add_pages(door, services, supply)
    add_library(door, services)
    add_notice_pages(door, services)
    add_verify_page(door, services)
    return door


def health_router(services: Services, tools: PublicTools) -> APIRouter:
    """`/health`, `/ready` and `/metrics`."""
    door = APIRouter(tags=["watch"])

    @door.get("/health", summary="Whether this process is alive")
    async def health() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "alive"}

    @door.get(
        "/ready",
        summary="Whether database and chain answer, and how much waits",
        responses={
            200: {"description": "Ready", "content": {"application/json": {}}},
            **refusals(NOT_READY),
        },
    )
    async def ready() -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        found: dict[str, object] = {"profile": services.settings.profile}
        found["database"], found["backlog"] = await _database(services)
        found["chain"] = await _chain(services, tools.client)
        good = found["database"] == "ok" and found["chain"] == "ok"
        if good:
            return JSONResponse({"status": "ready", **found})
        return JSONResponse(
            {
                "type": "https://tanhui.example/problems/not-ready",
                "title": "Not ready",
                "detail": NOT_READY[2],
                "status": 503,
                **found,
            },
            status_code=503,
            media_type="application/problem+json",
            headers={"Retry-After": "1"},
        )

    @door.get(
        "/metrics",
        summary="Rates, errors, latency and backlog as Prometheus text",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text"}},
    )
    async def metrics() -> Response:  # pyright: ignore[reportUnusedFunction]
        lines = tools.measures.lines()
        lines += await _gauges(services)
        return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")

    return door


async def _database(services: Services) -> tuple[str, dict[str, int] | None]:
    try:
        async with services.db.transaction(readonly=True) as tx:
            return "ok", await views.workload(tx)
    except DATABASE_AWAY as error:
        return f"away: {type(error).__name__}", None


async def _chain(services: Services, client: ChainClient) -> str:
    try:
        found = await client.chain_id()
    except (NodeAway, RpcError) as error:
        return f"away: {type(error).__name__}"
    if found != services.settings.chain_id:
        return f"other chain: {found}"
    return "ok"


async def _gauges(services: Services) -> list[str]:
    try:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            waiting = await views.workload(tx)
            at = await views.edges(tx)
            size = await proof.size(tx)
    except DATABASE_AWAY:
        return ["tanhui_database_up 0"]
    return [
        "# TYPE tanhui_database_up gauge",
        "tanhui_database_up 1",
        "# TYPE tanhui_backlog gauge",
        *(f'tanhui_backlog{{step="{name}"}} {count}' for name, count in sorted(waiting.items())),
        "# TYPE tanhui_log_leaves gauge",
        f'tanhui_log_leaves{{edge="sealed"}} {size}',
        f'tanhui_log_leaves{{edge="confirmed"}} {at.confirmed}',
        f'tanhui_log_leaves{{edge="posted"}} {at.posted}',
    ]
