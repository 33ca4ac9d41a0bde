"""What differs between the engines we run on; everything else is plain Ethereum JSON-RPC."""

from dataclasses import dataclass
from typing import Literal

ProfileName = Literal["embedded", "ethereum", "fisco", "besu", "kaia"]
Finality = Literal["at_commit", "finalized_tag"]


@dataclass(frozen=True, slots=True)
class ChainProfile:
    """The limits and habits of one engine.

    `input_bytes_max` bounds a transaction's input, `batch_calls_max` a JSON-RPC batch,
    `logs_blocks_max` the range of one eth_getLogs (FISCO cuts longer ones silently).
    `historical_state`: whether eth_call and the like honour an old block.
    `finality`: `at_commit` (PBFT, QBFT, our node) or the `finalized` tag of proof of stake.
    `pipelined`: whether the next nonce may be sent before the last is mined; not where gaps in
    nonces are mined, because a passed nonce would then not mean that another took it.
    `gas_price_wei` None asks the node; a number is paid whatever it says.
    `input_byte_gas`: what a byte of a transaction's input costs at most.
    Source: docs/decisions/0007-embedded-node.md; FISCO's limits from its source of 2026-03.
    """

    name: ProfileName
    kind: Literal["single-node", "validators"]
    input_bytes_max: int
    batch_calls_max: int
    logs_blocks_max: int
    historical_state: bool
    finality: Finality
    eip1559: bool
    tx_gas_max: int
    accounts_per_batch_max: int
    pipelined: bool = True
    gas_price_wei: int | None = None
    input_byte_gas: int = 16


EMBEDDED = ChainProfile(
    name="embedded",
    kind="single-node",
    input_bytes_max=131_072,
    batch_calls_max=8,
    logs_blocks_max=1_000,
    historical_state=True,
    finality="at_commit",
    eip1559=True,
    tx_gas_max=60_000_000,
    accounts_per_batch_max=700,
)

ETHEREUM = ChainProfile(
    name="ethereum",
    kind="validators",
    input_bytes_max=131_072,
    batch_calls_max=8,
    logs_blocks_max=1_000,
    historical_state=True,
    finality="finalized_tag",
    eip1559=True,
    # EIP-7825: 2^24 gas a transaction, which the gas allowed for 690 new accounts stays below.
    tx_gas_max=16_777_216,
    accounts_per_batch_max=690,
)

FISCO = ChainProfile(
    name="fisco",
    kind="validators",
    # TxValidator applies the limit for contract code to every web3 transaction.
    input_bytes_max=49_152,
    batch_calls_max=8,
    logs_blocks_max=10,
    historical_state=False,
    finality="at_commit",
    eip1559=False,
    tx_gas_max=3_000_000_000,
    accounts_per_batch_max=2_000,
    pipelined=False,
    gas_price_wei=0,
)

BESU = ChainProfile(
    name="besu",
    kind="validators",
    input_bytes_max=131_072,
    batch_calls_max=8,
    logs_blocks_max=1_000,
    historical_state=True,
    finality="at_commit",
    eip1559=True,
    tx_gas_max=16_777_216,
    accounts_per_batch_max=690,
)

KAIA = ChainProfile(
    name="kaia",
    kind="validators",
    input_bytes_max=131_072,
    batch_calls_max=8,
    logs_blocks_max=1_000,
    historical_state=True,
    finality="at_commit",
    eip1559=False,
    tx_gas_max=16_777_216,
    # 24,960 gas an account instead of 22,860, because every byte of the input costs 100.
    accounts_per_batch_max=600,
    input_byte_gas=100,
)

PROFILES: dict[ProfileName, ChainProfile] = {
    profile.name: profile for profile in (EMBEDDED, ETHEREUM, FISCO, BESU, KAIA)
}


def profile_of(name: ProfileName) -> ChainProfile:
    """The profile of an engine by its name in the settings."""
    return PROFILES[name]
