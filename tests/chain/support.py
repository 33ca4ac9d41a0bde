"""A chain node in a process of its own, and small things that tests plant on it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from backend.chain import ChainClient, ChainKeys, NodeAway, Signer, Terms, contracts, open_keys
from backend.chain.contracts import EnactmentTerms

ROOT = Path(__file__).parent.parent.parent
CHAIN_ID = 20_261
APPROVERS = (Signer(b"\x01" * 32), Signer(b"\x02" * 32))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class NodeProcess:
    """`tanhui node` over a folder; can be killed and started again on the same chain."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.keys: ChainKeys = open_keys(var / "keys")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start and wait until it answers; returns the seconds that took."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TANHUI_")}
        environment |= {"TANHUI_VAR": str(self.var), "TANHUI_RPC_PORT": str(self.port)}
        started_s = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "node"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if self._process.poll() is not None:
                    raise RuntimeError(f"node ended with {self._process.returncode}") from None
                if time.monotonic() - started_s > 30:
                    self.kill()
                    raise
                time.sleep(0.01)
            else:
                return time.monotonic() - started_s

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, as power loss would do it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(timeout=20)
        self._process = None
        return code

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None


async def when_away(client: ChainClient) -> None:
    """Wait until nothing answers any more."""
    for _ in range(500):
        try:
            await client.chain_id()
        except NodeAway:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the node still answers")


async def send(
    client: ChainClient, signer: Signer, to: str | None, data: bytes, *, gas: int = 1_000_000
) -> str:
    """Sign with the chain's next nonce, send, and return the hash."""
    terms = Terms(await client.chain_id(), await client.gas_price_wei(), client.profile.eip1559)
    nonce = await client.nonce(signer.address)
    raw = signer.sign_transaction(terms, nonce=nonce, gas=gas, to=to, data=data)
    return await client.send_raw(raw)


async def executed(
    client: ChainClient, signer: Signer, to: str | None, data: bytes, *, gas: int = 1_000_000
):
    """`send`, and the receipt, which must be a success."""
    tx_hash = await send(client, signer, to, data, gas=gas)
    for _ in range(200):
        receipt = await client.receipt(tx_hash)
        if receipt is not None:
            assert receipt.status, receipt
            return receipt
        await asyncio.sleep(0.02)
    raise AssertionError(f"{tx_hash} was not mined")


async def enact_rule(
    client: ChainClient,
    keys: ChainKeys,
    registry: str,
    *,
    rule: str = "metro-points",
    version: int = 1,
    day_from: int = 0,
    day_to: int = 2**32 - 1,
    approvers: Sequence[Signer] = APPROVERS,
) -> None:
    """Register two approvers and enact a rule with their signatures."""
    for approver in approvers:
        await executed(
            client,
            keys.government,
            registry,
            contracts.register_approver_input(approver.address),
        )
    terms = EnactmentTerms(1, rule, version, b"\x07" * 32, day_from, day_to)
    digest = contracts.enactment_digest(await client.chain_id(), registry, terms)
    signatures = [approver.sign_digest(digest) for approver in approvers]
    await executed(client, keys.admin, registry, contracts.enact_input(terms, *signatures))
