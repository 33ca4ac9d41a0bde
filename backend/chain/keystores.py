"""Officials' signing keys at rest: Ethereum keystores (version 3) that only a password opens."""

import secrets
from typing import Any

from backend.chain.keys import Signer

PASSWORD_CHARACTERS_MIN = 8
_SCRYPT_N = 1 << 16  # 64 MiB and about 0.2 s for each try


def new_keystore(password: str) -> tuple[str, dict[str, Any]]:
    """A fresh signing key: its address (0x…, lower case) and its keystore.

    Raises ValueError for a password of fewer than 8 characters.
    """
    if len(password) < PASSWORD_CHARACTERS_MIN:
        raise ValueError(f"a password has at least {PASSWORD_CHARACTERS_MIN} characters")
    # Loaded here: the library brings a pairing curve along, 0.4 s that no other process needs.
    from eth_keyfile.keyfile import create_keyfile_json

    secret = secrets.token_bytes(32)
    keystore = create_keyfile_json(secret, password.encode(), kdf="scrypt", iterations=_SCRYPT_N)
    return Signer(secret).address, keystore


def open_keystore(keystore: dict[str, Any], password: str) -> Signer:
    """The key inside. Raises ValueError for a wrong password or a broken file."""
    from eth_keyfile.keyfile import decode_keyfile_json

    try:
        return Signer(bytes(decode_keyfile_json(keystore, password.encode())))
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise ValueError("the password does not open this key file") from error
