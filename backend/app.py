"""The composition root of the API: settings and doors become one ASGI application."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

import miniapp_api
from backend import gov_api, partner_api, public_api
from backend.chain import ChainClient, NodeAway, profile_of
from backend.flows.publish_trust import publish_trust
from backend.kit import pg
from backend.kit.clock import SystemClock
from backend.kit.collector import settle_collector
from backend.kit.db import Database
from backend.kit.logs import log
from backend.kit.openapi import BAD_SHAPE, refusals
from backend.kit.problems import Problem, problem_response
from backend.kit.services import Services
from backend.kit.settings import Settings, load_settings
from backend.kit.vault import Vault
from backend.kit.web import Measures, Watch
from backend.production import check_profile
from backend.public_api import PublicTools

DESCRIPTION = (
    "碳惠 Tanhui:一座城市的低碳积分平台,任何人都可以不信任我们而核验每一分。"
    "/public/v1 公开、无需登录;/miniapp/v1 市民;/partner/v1 合作平台;/gov/v1 主管部门。"
    "错误一律为 RFC 9457 application/problem+json。"
)
BODY_BYTES_MAX = 65_536
RPC_BODY_BYTES_MAX = 131_072


def create_app(
    settings: Settings | None = None,
    *,
    services: Services | None = None,
    client: ChainClient | None = None,
) -> FastAPI:
    """The application. With `services` and `client` given, they are used and stay open."""
    if services is not None and client is not None:
        app = _bare(_nothing_to_open, services.settings)
        _add_doors(app, services, client)
        return app
    chosen = settings if settings is not None else load_settings()
    check_profile(chosen)

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncGenerator[None]:
        with pg.attach(
            chosen.var, database_url=chosen.database_url, pg_bin=chosen.pg_bin
        ) as server:
            db = await Database.open(server.url("app"))
            node = ChainClient(chosen.chain_rpc_url, profile_of(chosen.chain_profile))
            services = Services(db, Vault(chosen.keys_dir), SystemClock(), chosen)
            _add_doors(app, services, node)
            await _publish(services)
            log("api_started", profile=chosen.profile)
            try:
                yield
            finally:
                await node.close()
                await db.close()
                log("api_stopped")

    return _bare(opened, chosen)


def serving_app() -> FastAPI:
    """The application of a process that does nothing else: `tanhui serve` starts this."""
    app = create_app()
    settle_collector()
    return app


async def _publish(services: Services) -> None:
    """Publish the trust file if contracts stand and it has changed; say so if it may not."""
    try:
        await publish_trust(services.db, services.vault, services.settings, services.clock)
    except Problem as problem:
        log("trust_not_published", problem=problem.name)


@asynccontextmanager
async def _nothing_to_open(_app: FastAPI) -> AsyncGenerator[None]:
    yield


def _bare(lifespan: Any, settings: Settings) -> FastAPI:
    app = FastAPI(
        title="碳惠 Tanhui",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    framework_schema = app.openapi

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            _as_problems(framework_schema())
        return framework_schema()

    app.openapi = schema
    measures = Measures()
    app.state.measures = measures
    _let_pages_call(app, settings)
    app.add_middleware(Watch, measures=measures, body_bytes_max=_body_bytes_max)
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(NodeAway, _answer_node_away)
    app.add_exception_handler(RequestValidationError, _answer_bad_shape)
    app.add_exception_handler(HTTPException, _answer_http)
    return app


def _let_pages_call(app: FastAPI, settings: Settings) -> None:
    """Pages of the named origins may call with a token of their own; cookies play no part here."""
    origins = [each.strip() for each in settings.cors_origins.split(",") if each.strip()]
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=[
                "accept-language",
                "authorization",
                "content-type",
                "idempotency-key",
                "if-none-match",
            ],
            expose_headers=["etag", "retry-after"],
            max_age=600,
        )


def _add_doors(app: FastAPI, services: Services, client: ChainClient) -> None:
    tools = PublicTools(client, app.state.measures)
    app.include_router(public_api.router(services, tools))
    app.include_router(miniapp_api.router(services))
    app.include_router(miniapp_api.client_router())
    app.include_router(partner_api.router(services))
    app.include_router(gov_api.router(services, client))
    app.include_router(public_api.health_router(services, tools))


def _as_problems(schema: dict[str, Any]) -> None:
    """Our problem in place of the framework's own 422, which no route here gives."""
    for methods in schema["paths"].values():
        for route in methods.values():
            answer = route["responses"].get("422")
            if answer is not None and "application/json" in answer.get("content", {}):
                route["responses"]["422"] = refusals(BAD_SHAPE)[422]
    for name in ("HTTPValidationError", "ValidationError"):
        schema.get("components", {}).get("schemas", {}).pop(name, None)


def _body_bytes_max(path: str) -> int:
    if path.startswith("/partner/"):
        return 1 << 40  # The partners' door counts its own bytes, compressed and inflated.
    return RPC_BODY_BYTES_MAX if path.endswith("/chain/rpc") else BODY_BYTES_MAX


async def _answer_problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return problem_response(error)


async def _answer_node_away(_request: Request, error: Exception) -> Response:
    log("node_away", error=repr(error)[:300])
    detail = "区块链节点暂时没有回答,请稍后重试。"
    return problem_response(Problem(503, "chain-away", detail, headers={"Retry-After": "5"}))


async def _answer_bad_shape(_request: Request, error: Exception) -> Response:
    """What is wrong and where, without giving the input back."""
    if not isinstance(error, RequestValidationError):
        raise error
    places = [
        {"at": ".".join(str(part) for part in each["loc"]), "problem": str(each["type"])}
        for each in error.errors()[:20]
    ]
    return problem_response(Problem(422, "bad-shape", "请求的内容或参数不合规定。", errors=places))


_NAMES = {
    400: (422, "bad-shape", "请求的内容或参数不合规定。"),
    404: (404, "not-found", "没有这个地址。"),
    405: (405, "method-not-allowed", "这个地址不接受这种方法。"),
    413: (413, "body-too-large", "请求体过大。"),
}


async def _answer_http(_request: Request, error: Exception) -> Response:
    """The framework's own refusals, as problems like all others."""
    if not isinstance(error, HTTPException):
        raise error
    status, name, detail = _NAMES.get(
        error.status_code, (error.status_code, "refused", "请求被拒绝。")
    )
    return problem_response(Problem(status, name, detail, headers=error.headers))
