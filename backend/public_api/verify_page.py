"""`/verify`: the page where anyone checks a receipt in their own browser, and its modules."""

import base64
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from backend import proof
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.site import page_policy, read_site

SITE = Path(__file__).parent / "site"
# A visitor may name a node of their own to ask; which one is theirs to choose.
HEADERS = page_policy("http:", "https:")


def add_verify_page(door: APIRouter, services: Services) -> None:
    """`/verify`, its modules, and the look all public pages share."""
    assets = read_site(SITE)
    page = assets["verify/index.html"].body.decode()

    @door.get("/verify", response_class=HTMLResponse, include_in_schema=False)
    async def verify() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(readonly=True) as tx:
            trust = await proof.latest_trust(tx)
        carried = (b"", "") if trust is None else (trust.document, trust.signature or "")
        return HTMLResponse(carrying(page, *carried), headers=HEADERS)

    async def file(request: Request) -> Response:
        asset = assets.get(request.url.path.removeprefix("/"))
        if asset is None or asset.media_type.startswith("text/html"):
            raise Problem(404, "not-found", "没有这个地址。")
        return asset.answer(request)

    for path in ("/site.css", "/mark.svg", "/notice.mjs", "/verify/{path:path}"):
        door.add_api_route(path, file, methods=["GET"], include_in_schema=False)


def carrying(page: str, document: bytes, signature: str) -> str:
    """The page with a trust file and its signature line in it: it asks nobody for them."""
    return page.replace("{trust}", base64.b64encode(document).decode()).replace(
        "{signature}", base64.b64encode(signature.encode()).decode()
    )
