"""The engine of the validators: Kaia's consensus node `kcn`, a program that is not part of us."""

import os
import shutil
from pathlib import Path

KAIA_RELEASE = "v1.0.3"
"""The release that engine/kaia/go.mod pins and the tests run against."""


class EngineMissing(Exception):
    """No `kcn` was found; the message says where it was looked for and how to build one."""


def find_kcn(given: Path | None = None) -> Path:
    """The engine's program: the one given (TANHUI_KCN), else on PATH, else built by `make engine`.

    Raises EngineMissing.
    """
    if given is not None:
        if not os.access(given, os.X_OK):
            raise EngineMissing(f"TANHUI_KCN names {given}, which is no program")
        return given
    on_path = shutil.which("kcn")
    if on_path is not None:
        return Path(on_path)
    built = _cache() / f"kaia-{KAIA_RELEASE}" / "kcn"
    if os.access(built, os.X_OK):
        return built
    raise EngineMissing(
        f"kcn is neither named by TANHUI_KCN, nor on PATH, nor at {built}: run make engine"
    )


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tanhui" / "engine"
