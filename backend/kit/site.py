"""Files of a page, served as they stand: typed, tagged, and under the page's own policy."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fastapi import Request, Response

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
"""What may be served; a file of any other kind in the folder stays private."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; manifest-src 'self';"
    " connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, their type and their entity tag."""

    body: bytes
    media_type: str
    tag: str

    def answer(self, request: Request) -> Response:
        """The file, or 304 when the browser holds these very bytes."""
        headers = {"etag": self.tag, "cache-control": "no-cache"}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def read_site(folder: Path) -> dict[str, Asset]:
    """Every servable file below a folder by its path, `/` between the parts."""
    return {
        file.relative_to(folder).as_posix(): asset_of(file.read_bytes(), MEDIA_TYPES[file.suffix])
        for file in sorted(folder.rglob("*"))
        if file.suffix in MEDIA_TYPES
    }


def asset_of(body: bytes, media_type: str) -> Asset:
    """These bytes as something to serve."""
    return Asset(body, media_type, f'"{sha256(body).hexdigest()[:32]}"')


def page_policy(*connect: str) -> dict[str, str]:
    """The header that lets a page run our own scripts and nothing else.

    `connect` are the places its scripts may ask beside this origin; no string may become HTML.
    """
    return {"content-security-policy": _POLICY.format(connect=" ".join(("'self'", *connect)))}
