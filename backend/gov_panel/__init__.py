"""The officials' panel: its own process and origin, Chinese first, over the same flows as the API.

It calls flows and views in this process instead of the REST API; who may do what is decided in the
one place both ask, `officials.roles`. NiceGUI's pages need inline scripts, so the panel has a
policy of its own and shares an origin with nothing else.
"""

# pyright: standard

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from nicegui import ui
from starlette.staticfiles import StaticFiles

from backend.gov_panel import activating, pages, signing_in
from backend.gov_panel.desk import Desk
from backend.gov_panel.headers import SafeHeaders
from backend.kit.logs import log
from backend.kit.settings import Settings

__all__ = ["STATIC", "create_panel"]

STATIC = Path(__file__).parent / "static"


def create_panel(settings: Settings, database_url: str) -> FastAPI:
    """The panel's application; one for each process, as NiceGUI keeps its pages by process."""
    desk = Desk(settings)

    @asynccontextmanager
    async def opened(_app: FastAPI) -> AsyncGenerator[None]:
        async with desk.opened(database_url):
            log("panel_started", profile=settings.profile)
            yield
        log("panel_stopped")

    app = FastAPI(
        title="碳惠政府端", docs_url=None, redoc_url=None, openapi_url=None, lifespan=opened
    )
    app.mount("/static", StaticFiles(directory=STATIC))
    app.include_router(signing_in.router(desk))
    app.include_router(activating.router(desk))
    ui.add_css(STATIC / "panel.css", shared=True)
    pages.register(desk)
    ui.run_with(
        app, title="碳惠政府端", language="zh-CN", tailwind=False, show_welcome_message=False
    )
    app.add_middleware(SafeHeaders)
    return app
