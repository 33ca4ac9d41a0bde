"""A node that answers badly: each fault has its name, and nothing is half done."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.chain import (
    ChainClient,
    ChainUnfit,
    DeploymentDiffers,
    NodeAway,
    RpcError,
    probe,
    require_fit,
)
from backend.chain import client as client_module
from backend.flows.anchor_log import anchor_log
from backend.flows.deploy_chain import access_chain, deploy_chain
from backend.flows.post_points import post_points
from backend.jobs import worker_of
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.services import Services
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from tests.chain.support import CHAIN_ID, NodeProcess
from tests.flows.chain_world import NOW, a_leaf, chain_world

pytestmark = pytest.mark.chain

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that reads a request and answers each in the same way; yields its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            await reader.readexactly(size)
            await answer(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def saying(body: bytes, status: str = "200 OK") -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return answer


async def endless(writer: asyncio.StreamWriter) -> None:
    """A piece every now and then, for ever: never silent, never done."""
    writer.write(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n"\r\n')
    while True:
        writer.write(b"1\r\na\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


BAD = {
    "an error page": (saying(b"<html>down</html>", "502 Bad Gateway"), "http-error"),
    "a refusal by a gateway": (saying(b'{"detail":"no"}', "403 Forbidden"), "http-error"),
    "too many requests": (saying(b'{"error":{"code":1}}', "429 Too Many"), "http-error"),
    "a redirect": (saying(b"", "302 Found"), "http-error"),
    "no JSON": (saying(b"<html>welcome</html>"), "not-json"),
    "nothing": (saying(b""), "not-json"),
    "JSON too deep": (saying(b"[" * 100_000), "not-json"),
    "a list": (saying(b"[]"), "not-an-answer"),
    "an empty object": (saying(b"{}"), "not-an-answer"),
    "another call's answer": (saying(b'{"id":77,"result":"0x1"}'), "not-an-answer"),
    "no number": (saying(b'{"id":1,"result":{"a":1}}'), "not-an-answer"),
    "null": (saying(b'{"id":1,"result":null}'), "not-an-answer"),
    "an endless answer": (endless, "timed-out"),
    "silence": (silent, "timed-out"),
}


@pytest.mark.parametrize("name", BAD)
async def test_each_fault_has_its_name(name: str) -> None:
    answer, fault = BAD[name]
    async with answering(answer) as url, ChainClient(url, timeout_s=0.4) as client:
        with pytest.raises(NodeAway) as caught:
            await client.chain_id()
    assert caught.value.fault == fault
    assert url in str(caught.value)


async def test_an_answer_too_long_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_BYTES_MAX", 1_000)
    async with answering(saying(b" " * 5_000)) as url, ChainClient(url) as client:
        with pytest.raises(NodeAway) as caught:
            await client.chain_id()
    assert caught.value.fault == "too-long"


async def test_errors_of_any_shape_are_errors_of_the_node() -> None:
    for error in ({"code": -32000, "message": "no"}, "no", {"code": "x", "message": ["no"]}):
        body = json.dumps({"id": 1, "error": error}).encode()
        async with answering(saying(body)) as url, ChainClient(url) as client:
            with pytest.raises(RpcError, match="no"):
                await client.chain_id()
            with pytest.raises(RpcError, match="no"):
                await client.batch([("eth_chainId", [])])


async def test_receipts_and_blocks_without_their_fields_are_no_answers() -> None:
    poor = saying(b'{"id":1,"result":{"status":"0x1"}}')
    async with answering(poor) as url, ChainClient(url) as client:
        with pytest.raises(NodeAway) as caught:
            await client.receipt("0x" + "00" * 32)
    assert caught.value.fault == "not-an-answer"


async def test_nobody_there() -> None:
    async with ChainClient("http://127.0.0.1:9") as client:
        with pytest.raises(NodeAway) as caught:
            await client.chain_id()
    assert caught.value.fault == "unreachable"


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_a_certificate_that_nobody_vouches_for(self_signed: ssl.SSLContext) -> None:
    async with answering(saying(b"{}"), self_signed) as url, ChainClient(url) as client:
        with pytest.raises(NodeAway) as caught:
            await client.chain_id()
    assert caught.value.fault == "tls-failed"


async def test_plain_words_where_tls_was_asked_for() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, ChainClient(url) as client:
        with pytest.raises(NodeAway) as caught:
            await client.chain_id()
    assert caught.value.fault == "tls-failed"


async def test_another_network_is_named_and_gets_nothing(
    client: ChainClient, shared_node: NodeProcess
) -> None:
    senders = shared_node.keys.addresses()
    assert await probe(client, 1, senders) == ["chain-id: the node's is 20261, configured is 1"]
    with pytest.raises(ChainUnfit, match=r"is not fit: chain-id") as caught:
        await require_fit(client, 1, senders)
    assert len(caught.value.unmet) == 1
    assert await require_fit(client, CHAIN_ID, senders) is None


async def test_a_foreign_deployment_is_named_and_gets_nothing(
    db: Database, shared_node: NodeProcess, own_node: NodeProcess
) -> None:
    """The database knows contracts of one chain; the node now holds another of the same id."""
    async with chain_world(db, shared_node):
        pass
    async with ChainClient(own_node.url) as other:
        before = await other.block_number()
        for step in (
            access_chain(db, other, own_node.keys),
            deploy_chain(db, other, own_node.keys),
        ):
            with pytest.raises(DeploymentDiffers, match="another chain"):
                await step
        assert await other.block_number() == before


async def test_flows_leave_nothing_half_done(db: Database, own_node: NodeProcess) -> None:
    """Nothing is stored for a node that cannot be understood; a good one then gets it all."""
    async with chain_world(db, own_node) as world:
        await world.seal([a_leaf(account=1)])
        good, kept = world.client.url, world.client._timeout_s
        for name in ("an error page", "no JSON", "an endless answer", "null"):
            async with answering(BAD[name][0]) as url:
                world.client.url, world.client._timeout_s = url, 0.4
                for flow in (post_points, anchor_log):
                    with pytest.raises(NodeAway):
                        await flow(db, world.access, NOW)
            stored = "SELECT 1 FROM chain_tx UNION ALL SELECT 1 FROM post_cut"
            assert await world.rows(stored) == [], name
        world.client.url, world.client._timeout_s = good, kept
        await post_points(db, world.access, NOW)
        await anchor_log(db, world.access, NOW)
        told = await world.rows("SELECT state FROM chain_tx ORDER BY purpose")
        assert [row["state"] for row in told] == ["final", "final"]


async def test_the_worker_sends_nothing_to_a_node_that_is_not_fit(
    db: Database, vault: Vault, clock: FixedClock, settings: Settings, own_node: NodeProcess
) -> None:
    """Awards and the log go on; anchors and posts say what is unmet and wait."""
    async with chain_world(db, own_node) as world:
        await world.seal([a_leaf(account=1)])
        elsewhere = settings.model_copy(update={"chain_id": 5})
        worker = worker_of(Services(db, vault, clock, elsewhere), world.client, db)
        chosen = [job for job in worker.timetable if job.name in {"anchor", "post"}]
        assert len(chosen) == 2
        for job in chosen:
            with pytest.raises(ChainUnfit, match="configured is 5"):
                await job.run()
        assert await world.rows("SELECT 1 FROM chain_tx") == []
