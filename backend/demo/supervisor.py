"""Keeps the processes of a demo installation alive, and ends them all when it ends.

Each child reads a pipe whose other end only the supervisor holds: when the supervisor is killed,
however it is killed, the children see the end of that pipe and stop by themselves.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backend.kit.logs import log

STOP_S = 8
RESTART_PAUSE_S = 0.5


@dataclass(slots=True)
class _Child:
    name: str
    args: Sequence[str]
    process: "subprocess.Popen[bytes]"


@dataclass(slots=True)
class Supervisor:
    """Starts `tanhui` subcommands, restarts one that dies, stops all of them together."""

    log_dir: Path
    environment: Mapping[str, str]
    restarts: int = 0
    _children: dict[str, _Child] = field(default_factory=dict[str, _Child])
    _stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, name: str, *args: str) -> None:
        """Run `tanhui <args>` as a child; its output goes to `<log_dir>/<name>.log`."""
        with self._lock:
            self._children[name] = _Child(name, args, self._spawn(name, args))

    def watch(self) -> threading.Thread:
        """Restart children that die, until `stop`."""
        thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        thread.start()
        return thread

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        with self._lock:
            return {name: child.process.pid for name, child in self._children.items()}

    def stop(self) -> None:
        """End every child: politely, then after a while not."""
        self._stopping.set()
        with self._lock:
            children = list(self._children.values())
        # The node goes last, so that the worker can still settle what it has sent.
        for child in reversed(children):
            if child.process.stdin is not None:
                child.process.stdin.close()
            child.process.terminate()
        deadline_s = time.monotonic() + STOP_S
        for child in children:
            try:
                child.process.wait(timeout=max(0.1, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def _spawn(self, name: str, args: Sequence[str]) -> "subprocess.Popen[bytes]":
        self.log_dir.mkdir(parents=True, exist_ok=True)
        with (self.log_dir / f"{name}.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "backend.cli", *args],
                env={**os.environ, **self.environment, "TANHUI_SUPERVISED": "1"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor, which decides.
            )

    def _watch(self) -> None:
        while not self._stopping.wait(RESTART_PAUSE_S):
            with self._lock:
                for name, child in self._children.items():
                    code = child.process.poll()
                    if code is None or self._stopping.is_set():
                        continue
                    log("process_restarted", name=name, exit_code=code)
                    self.restarts += 1
                    child.process = self._spawn(name, child.args)
