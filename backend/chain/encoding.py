"""RLP with types: the library carries none."""

from typing import Any, cast

import rlp  # pyright: ignore[reportMissingTypeStubs]


def rlp_encode(value: Any) -> bytes:
    """RLP of bytes, integers, lists of them, or py-evm objects."""
    return cast("bytes", rlp.encode(value))  # pyright: ignore[reportUnknownMemberType]


def rlp_list(data: bytes) -> list[bytes]:
    """The items of an encoded list; nested lists stay lists."""
    return cast("list[bytes]", rlp.decode(data))  # pyright: ignore[reportUnknownMemberType]
