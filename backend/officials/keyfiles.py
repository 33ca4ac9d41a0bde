"""Key files of officials: one JSON each, mode 600, the key inside encrypted by a password.

The `keystore` member is an Ethereum keystore (version 3), so other tools can open it. The
`profile` member says where the key was made: a demo key never approves in production.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from backend.kit.problems import Problem
from backend.kit.settings import Profile
from backend.kit.vault import write_secret_file

FORMAT = "tanhui-official-key-v1"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a key file holds; `keystore` is still encrypted."""

    official_id: str
    address: str
    profile: str
    keystore: dict[str, Any]


def write_key_file(path: Path, key: KeyFile) -> None:
    """Write a new key file, readable by its owner only. Raises FileExistsError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    document = {
        "format": FORMAT,
        "official": key.official_id,
        "address": key.address,
        "profile": key.profile,
        "keystore": key.keystore,
    }
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    write_secret_file(path, text.encode())


def read_key_file(path: Path, profile: Profile) -> KeyFile:
    """Read a key file, still encrypted.

    Raises Problem: 422 `bad-key-file`, 403 `demo-key` (made for the demo, used in production).
    """
    try:
        key = _parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Problem(422, "bad-key-file", "读不出签名密钥文件。", file=str(path)) from error
    if profile == "production" and key.profile != "production":
        raise Problem(403, "demo-key", "演示密钥不得用于正式环境。", file=str(path))
    return key


def _parse(document: dict[str, Any]) -> KeyFile:
    if document["format"] != FORMAT:
        raise ValueError(f"the format is not {FORMAT}")
    return KeyFile(
        str(document["official"]),
        str(document["address"]),
        str(document["profile"]),
        dict(document["keystore"]),
    )


def refuse_demo_keys(keys_dir: Path, profile: Profile) -> None:
    """Raise Problem 403 `demo-key` if production would start beside keys made for the demo."""
    if profile != "production" or not keys_dir.is_dir():
        return
    for path in sorted(keys_dir.rglob("*.json")):
        try:
            document: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(document, dict) and cast("dict[str, Any]", document).get("profile") in (
            "demo",
            "test",
        ):
            raise Problem(403, "demo-key", "正式环境的密钥目录里有演示密钥。", file=str(path))
