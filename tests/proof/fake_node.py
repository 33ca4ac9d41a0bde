"""A node in memory, for checks that ask the chain."""

from dataclasses import dataclass, field

from backend.proof import ChainFault, ChainTx, ChainTxReceipt
from backend.proof.keccak import keccak256

CHAIN_ID = 20261


@dataclass
class FakeNode:
    """A node that answers from memory, as the port `ChainReader` asks."""

    id: int = CHAIN_ID
    blocks: dict[int, bytes] = field(default_factory=dict)
    codes: dict[str, bytes] = field(default_factory=dict)
    words: dict[tuple[str, int], bytes] = field(default_factory=dict)
    answers: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    txs: dict[str, ChainTx] = field(default_factory=dict)
    mined: dict[str, ChainTxReceipt] = field(default_factory=dict)
    away: bool = False

    def _here(self) -> None:
        if self.away:
            raise ChainFault("the node does not answer")

    async def chain_id(self) -> int:
        self._here()
        return self.id

    async def block_hash(self, number: int) -> bytes | None:
        self._here()
        return self.blocks.get(number)

    async def code(self, address: str) -> bytes:
        self._here()
        return self.codes.get(address, b"")

    async def storage(self, address: str, slot: int) -> bytes:
        self._here()
        return self.words.get((address, slot), bytes(32))

    async def call(self, to: str, data: bytes) -> bytes:
        self._here()
        return self.answers.get((to, data), bytes(32))

    async def transaction(self, tx_hash: str) -> ChainTx | None:
        self._here()
        return self.txs.get(tx_hash)

    async def receipt(self, tx_hash: str) -> ChainTxReceipt | None:
        self._here()
        return self.mined.get(tx_hash)

    def mine(self, tx: str, to: str, data: bytes, block: int) -> None:
        self.blocks[block] = block_hash(block)
        self.txs[tx] = ChainTx(to, data)
        self.mined[tx] = ChainTxReceipt(True, to, block, block_hash(block))


def block_hash(number: int) -> bytes:
    return keccak256(b"block %d" % number)
