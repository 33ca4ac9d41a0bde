"""`/m`: the reference client for phones, plain modules over this door's own API."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from backend.kit.problems import Problem
from backend.kit.site import page_policy, read_site

FOLDER = Path(__file__).parent / "site"
START = "index.html"


def client_router() -> APIRouter:
    """The page at `/m/` and its modules."""
    door = APIRouter(include_in_schema=False)
    assets = read_site(FOLDER)
    page = assets[START].body.decode()

    @door.get("/m", response_class=RedirectResponse)
    async def home() -> RedirectResponse:  # pyright: ignore[reportUnusedFunction]
        return RedirectResponse("/m/", 308)

    @door.get("/m/", response_class=HTMLResponse)
    async def start() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        return HTMLResponse(page, headers=page_policy())

    @door.get("/m/{path:path}", response_class=Response)
    async def file(path: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        asset = assets.get(path)
        if asset is None or path == START:
            raise Problem(404, "not-found", "没有这个地址。")
        return asset.answer(request)

    return door
