"""A node's JSON-RPC address as the port a check reads through."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

from backend.chain import ChainClient, NodeAway, RpcError
from backend.proof import ChainFault, ChainTx, ChainTxReceipt

_T = TypeVar("_T")

_TIMEOUT_S = 15


@asynccontextmanager
async def open_node(rpc_url: str) -> AsyncGenerator["NodeReader", None]:
    """A reader of the node at that address, closed afterwards."""
    async with ChainClient(rpc_url, timeout_s=_TIMEOUT_S) as client:
        yield NodeReader(client)


class NodeReader:
    """Reads one node. Silence, an error and nonsense are all a `ChainFault`."""

    def __init__(self, client: ChainClient) -> None:
        self._client = client

    async def chain_id(self) -> int:
        """eth_chainId."""
        return await _answer(self._client.chain_id())

    async def block_hash(self, number: int) -> bytes | None:
        """The 32-byte hash of the canonical block of that number; None beyond the tip."""

        async def read() -> bytes | None:
            block = await self._client.block(number)
            return None if block is None else bytes.fromhex(block["hash"][2:])

        return await _answer(read())

    async def code(self, address: str) -> bytes:
        """The code at an address, b"" where there is none."""
        return await _answer(self._client.code(address))

    async def storage(self, address: str, slot: int) -> bytes:
        """One 32-byte word."""
        return await _answer(self._client.storage(address, slot))

    async def call(self, to: str, data: bytes) -> bytes:
        """eth_call at the latest block."""
        return await _answer(self._client.call(to, data))

    async def transaction(self, tx_hash: str) -> ChainTx | None:
        """The transaction of that hash."""

        async def read() -> ChainTx | None:
            found = await self._client.transaction(tx_hash)
            if found is None:
                return None
            to = found["to"]
            return ChainTx(None if to is None else to.lower(), bytes.fromhex(found["input"][2:]))

        return await _answer(read())

    async def receipt(self, tx_hash: str) -> ChainTxReceipt | None:
        """The receipt of that transaction, None while it is not mined."""

        async def read() -> ChainTxReceipt | None:
            found = await self._client.receipt(tx_hash)
            if found is None:
                return None
            block_hash = bytes.fromhex(found.block_hash[2:])
            return ChainTxReceipt(found.status, found.to, found.block, block_hash)

        return await _answer(read())


async def _answer(work: Awaitable[_T]) -> _T:
    try:
        return await work
    except NodeAway as error:
        raise ChainFault(f"the node does not answer: {error}") from error
    except RpcError as error:
        raise ChainFault(f"the node answers with an error: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ChainFault("the node's answer makes no sense") from error
