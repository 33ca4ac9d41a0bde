"""anvil as a second engine for the tests.

The binary is looked for in ANVIL_BIN, then among the contract tools; the shim script is not used.
"""

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from backend.chain import ChainClient, ChainKeys, open_keys
from tests.chain.support import CHAIN_ID, ROOT, free_port

PLACES = (
    ROOT / "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil",
    ROOT / "contracts/node_modules/@foundry-rs/anvil-linux-arm64/bin/anvil",
    ROOT / "contracts/node_modules/@foundry-rs/anvil-darwin-arm64/bin/anvil",
)


class Anvil:
    """anvil on the embedded node's chain id; `options` are its own, as `--no-mining`."""

    def __init__(self, binary: Path, *options: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.keys: ChainKeys = open_keys(Path(tempfile.mkdtemp()) / "keys")
        arguments = ["--port", str(port), "--chain-id", str(CHAIN_ID), "--hardfork", "prague"]
        self._process = subprocess.Popen(
            [str(binary), *arguments, *options, "--silent"], stdin=subprocess.DEVNULL
        )
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError("anvil does not answer")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def anvil_binary() -> Path:
    given = os.environ.get("ANVIL_BIN")
    for place in [Path(given)] if given else PLACES:
        if place.is_file():
            return place
    reason = f"anvil: not found at {given or 'contracts/node_modules/@foundry-rs'}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason + ", and CI=true makes it compulsory")
    pytest.skip(reason)


async def funded(client: ChainClient, keys: ChainKeys) -> None:
    for address in keys.addresses():
        if await client.balance_wei(address) == 0:
            await client.request("anvil_setBalance", address, hex(10**24))
