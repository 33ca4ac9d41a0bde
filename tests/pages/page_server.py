"""The verify page served as the door serves it, over an installation and a node in memory."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from backend.kit.site import read_site
from backend.public_api.verify_page import HEADERS, SITE, carrying
from tests.outside.test_second_verifier import say
from tests.proof.builders import Installation

ANY_ORIGIN = {"access-control-allow-origin": "*", "access-control-allow-headers": "content-type"}
"""What a node says that lets pages of other sites ask it."""


@dataclass
class PageServer:
    """Where the page is; `asked` are the requests it made, `shared` what may be fetched."""

    installation: Installation
    trust: bytes
    url: str = ""
    shared: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(installation: Installation) -> Iterator[PageServer]:
    """The page at a loopback address, with the installation's trust file and its node."""
    server = PageServer(installation, installation.trust_file())
    assets = read_site(SITE)

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            server.asked.append(f"GET {path}")
            if path == "/verify":
                page = assets["verify/index.html"].body.decode()
                body = carrying(page, server.trust, "").encode()
                self._answer(body, "text/html; charset=utf-8", headers=HEADERS)
            elif path.startswith("/public/v1/shared/"):
                sealed = server.shared.get(path.rpartition("/")[2])
                self._answer(sealed or b"", "application/octet-stream", 404 if not sealed else 200)
            elif asset := assets.get(path.removeprefix("/")):
                self._answer(asset.body, asset.media_type)
            else:
                self._answer(b"", "text/plain", 404)

        def do_POST(self) -> None:
            server.asked.append(f"POST {self.path}")
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = {"jsonrpc": "2.0", "id": asked["id"]}
            if installation.node.away:
                answer["error"] = {"code": -32000, "message": "away"}
            else:
                answer["result"] = say(installation.node, asked["method"], asked["params"])
            self._answer(json.dumps(answer).encode(), "application/json", headers=ANY_ORIGIN)

        def do_OPTIONS(self) -> None:
            self._answer(b"", "text/plain", 204, headers=ANY_ORIGIN)

        def _answer(
            self,
            body: bytes,
            kind: str,
            status: int = 200,
            *,
            headers: dict[str, str] | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in {"content-type": kind, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.url = f"http://127.0.0.1:{door.server_port}"
    thread = threading.Thread(target=door.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        door.shutdown()
        thread.join()
        door.server_close()
