"""One validator as a process, and the private door by which its owner governs it."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from backend.chain.client import NodeAway, RpcError
from backend.chain.network.genesis import Validator
from backend.chain.shapes import is_object

_ANSWER_BYTES_MAX = 1_000_000
_STOP_S = 30


class ValidatorProcess:
    """A validator's folder and the process over it, started by this program or an earlier run.

    The folder holds `nodekey`, `log`, `pid` and, in `klay`, its peers and the chain's data.
    """

    def __init__(self, folder: Path, kcn: Path, chain_id: int, validator: Validator) -> None:
        self.folder = folder
        self.validator = validator
        self._kcn = kcn
        self._chain_id = chain_id
        self._child: subprocess.Popen[bytes] | None = None

    def initialize(self, genesis: Path) -> None:
        """Write the first block. Raises CalledProcessError with the engine's words."""
        command = [str(self._kcn), "--datadir", str(self.folder), "init", str(genesis)]
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def start(self) -> None:
        """Start it unless it runs. It goes on when this program ends."""
        if self.running:
            return
        with (self.folder / "log").open("ab") as said:
            self._child = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        (self.folder / "pid").write_text(str(self._child.pid), "ascii")

    def _command(self) -> list[str]:
        ours = self.validator
        return [
            *(str(self._kcn), "--datadir", str(self.folder)),
            *("--nodekey", str(self.folder / "nodekey"), "--networkid", str(self._chain_id)),
            # The engine listens on every interface; only loopback is let in as a peer.
            *("--port", str(ours.p2p_port), "--netrestrict", "127.0.0.0/8"),
            *("--nodiscover", "--nat", "none", "--ntp.disable"),
            *("--rpc", "--rpcaddr", "127.0.0.1", "--rpcport", str(ours.rpc_port)),
            *("--rpcapi", "eth,net,web3", "--ipcpath", str(self.socket)),
            # Every block's state goes to disk: otherwise all validators, cut off together, come
            # back up to 128 blocks behind what they had called final.
            *("--gcmode", "archive"),
            *("--rewardbase", ours.address, "--cache.level", "saving", "--verbosity", "3"),
        ]

    @property
    def socket(self) -> Path:
        """The Unix socket that governs it, where paths are short enough for one."""
        digest = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"tanhui-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / f"{digest}.ipc"

    @property
    def pid(self) -> int | None:
        """The process, None when it does not run."""
        if self._child is not None:
            return self._child.pid if self._child.poll() is None else None
        try:
            pid = int((self.folder / "pid").read_text("ascii"))
            # The number may long belong to another process.
            told = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if str(self.folder).encode() in told else None

    @property
    def running(self) -> bool:
        """Whether its process is there; it may still be catching up."""
        return self.pid is not None

    def send_signal(self, number: int) -> None:
        """Send a signal if it runs."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and wait; with SIGKILL as power loss would, and so after half a minute anyway."""
        self.send_signal(number)
        deadline = time.monotonic() + _STOP_S
        while self.running:
            if time.monotonic() > deadline:
                self.send_signal(signal.SIGKILL)
            time.sleep(0.05)
        self._child = None
        (self.folder / "pid").unlink(missing_ok=True)

    async def govern(self, method: str, *params: Any) -> Any:
        """One call through the socket, which offers every method of the engine.

        Raises NodeAway and RpcError.
        """
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_unix_connection(
                    str(self.socket), limit=_ANSWER_BYTES_MAX
                )
                try:
                    writer.write(json.dumps(call).encode() + b"\n")
                    raw = await reader.readline()
                finally:
                    writer.close()
            answer: Any = json.loads(raw)
        except (OSError, ValueError) as error:
            raise NodeAway(f"validator {self.validator.number}: {error}") from error
        if not is_object(answer):
            raise NodeAway(f"validator {self.validator.number} answered {method} with no object")
        fault: Any = answer.get("error")
        if fault is not None:
            words = fault.get("message", "") if is_object(fault) else fault
            raise RpcError(method, 0, str(words))
        return answer.get("result")
