"""A demo installation under test, started by the README's own command."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
START_S_MAX = 150


def readme_blocks(name: str) -> list[str]:
    """The shell blocks of a README, in order."""
    return [block.strip() for block in BLOCK.findall((ROOT / name).read_text("utf-8"))]


def free_port() -> int:
    """The first of three neighbouring free ports."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        try:
            for offset in (0, 1, 2):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise AssertionError("no three neighbouring free ports")


@dataclass(slots=True)
class Demo:
    """A demo installation: its state folder, its port, and the processes while it runs."""

    var: Path
    port: int
    serving: "subprocess.Popen[str] | None" = None

    @property
    def environment(self) -> dict[str, str]:
        """What its processes see: this test's folder and port, nothing of the caller's."""
        outside = {k: v for k, v in os.environ.items() if not k.startswith("TANHUI_")}
        # Under `make test ARGS=…`, a make of ours must not take those words for its own.
        for name in ("DATABASE_URL", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "ARGS"):
            outside.pop(name, None)
        return outside | {"TANHUI_VAR": str(self.var), "TANHUI_PORT": str(self.port)}

    @property
    def told_file(self) -> Path:
        """Where the demo writes addresses, sign-ins and figures when the tour is over."""
        return self.var / "demo" / "sign-ins.json"

    def launch(self) -> None:
        """Run the README's command and return at once."""
        with (self.var.parent / "demo.out").open("a", encoding="utf-8") as log:
            self.serving = subprocess.Popen(
                readme_blocks("README.md")[0], shell=True, cwd=ROOT, env=self.environment,
                start_new_session=True, stdout=log, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip

    def start(self) -> dict[str, Any]:
        """Run the README's command until the tour is over. Returns what the demo told."""
        self.told_file.unlink(missing_ok=True)
        self.launch()
        assert self.serving is not None
        said = self.var.parent / "demo.out"
        deadline_s = time.monotonic() + START_S_MAX
        while not self.told_file.exists():
            assert self.serving.poll() is None, said.read_text("utf-8")
            assert time.monotonic() < deadline_s, said.read_text("utf-8")
            time.sleep(0.1)
        return json.loads(self.told_file.read_text("utf-8"))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal the whole process group of the command and wait for its end."""
        if self.serving is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.serving.pid, number)
            self.serving.wait(40)
            self.serving = None

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the README against this installation."""
        here = re.sub(r"(?<![\w/])var/", f"{self.var}/", command)
        here = here.replace(":8700/", f":{self.port}/")
        return subprocess.run(
            here, shell=True, cwd=ROOT, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
