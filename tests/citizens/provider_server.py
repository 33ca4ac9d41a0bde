"""WeChat's and Alipay's server side on a real socket, answering what a test has laid ready."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


@dataclass
class ProviderServer:
    """`answers` by path; a callable gets the query and the body. Cleared, `free` holds it up."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["ProviderServer"]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.free.set()
        async with server:
            try:
                yield self
            finally:
                self.free.set()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            target = urlsplit(head.split(" ")[1])
            length = 0
            for line in head.lower().split("\r\n"):
                if line.startswith("content-length:"):
                    length = int(line.partition(":")[2])
            body = (await reader.readexactly(length)).decode()
            query = {name: values[0] for name, values in parse_qs(target.query).items()}
            self.asked.append((target.path, query, body))
            await self.free.wait()
            found = self.answers.get(target.path, {"errcode": 404})
            said = found(query, body) if callable(found) else found
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            writer.write(
                f"HTTP/1.1 200 OK\r\ncontent-length: {len(data)}\r\n"
                "connection: close\r\n\r\n".encode()
                + data
            )
            await writer.drain()
        except ConnectionError:
            pass  # The caller had no more patience.
        finally:
            writer.close()


@dataclass
class AlipayKeys:
    """Both sides' RSA keys."""

    ours: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    theirs: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def our_pem(self) -> bytes:
        return self.ours.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def their_pem(self) -> bytes:
        return self.theirs.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def gateway(self, said: dict[str, Any], *, tamper: bool = False) -> Any:
        """A gateway that checks our signature and signs its answer."""

        def answer(_query: dict[str, str], body: str) -> Any:
            asked = {name: values[0] for name, values in parse_qs(body).items()}
            signature = base64.b64decode(asked.pop("sign"))
            text = "&".join(f"{name}={asked[name]}" for name in sorted(asked))
            self.ours.public_key().verify(
                signature, text.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
            told = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
            signed = self.theirs.sign(told.encode(), padding.PKCS1v15(), hashes.SHA256())
            if tamper:
                told = told.replace("2088", "2099")
            sign = base64.b64encode(signed).decode()
            return f'{{"alipay_system_oauth_token_response":{told},"sign":"{sign}"}}'.encode()

        return answer
