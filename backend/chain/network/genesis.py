"""The first block of a network of Kaia validators, and the file by which they know each other.

Istanbul BFT: a block is final once more than two thirds of the validators have signed it; of four,
one may fail. Who validates is decided by ballot: more than half of the present validators vote.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eth_keys.datatypes import PrivateKey

from backend.chain.encoding import rlp_encode

_BALANCE_WEI = 10**27
_BASE_FEE_LOWEST_WEI = 25_000_000_000
_BASE_FEE_HIGHEST_WEI = 750_000_000_000
_FORKS = ("istanbul", "london", "ethTxType", "magma", "kore", "shanghai", "cancun", "kaia")
_NOBODY = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class Validator:
    """One validator: its key's address (lower-case 0x), its peer id (128 hex digits), its ports."""

    number: int
    address: str
    peer_id: str
    p2p_port: int
    rpc_port: int

    @property
    def url(self) -> str:
        """Where it answers JSON-RPC."""
        return f"http://127.0.0.1:{self.rpc_port}"


DialPort = Callable[[Validator, Validator], int]
"""The port at which the first validator reaches the second."""


def directly(_of: Validator, peer: Validator) -> int:
    """The peer's own port: nothing stands between two validators."""
    return peer.p2p_port


def validator_of(secret: bytes, number: int, *, p2p_port: int, rpc_port: int) -> Validator:
    """The validator that a secret key (32 bytes) makes."""
    public = PrivateKey(secret).public_key
    return Validator(number, public.to_address(), public.to_hex()[2:], p2p_port, rpc_port)


def genesis_document(
    chain_id: int, validators: Sequence[str], funded: Sequence[str], timestamp_s: int
) -> dict[str, Any]:
    """Kaia's genesis.json: all forks up to Cancun and Kaia from the first block on.

    `validators` and `funded` are addresses; each of `funded` gets a balance to pay gas with.
    """
    addresses = sorted(bytes.fromhex(address[2:]) for address in validators)
    extra = bytes(32) + rlp_encode([addresses, bytes(65), []])
    return {
        "config": {
            "chainId": chain_id,
            **{f"{fork}CompatibleBlock": 0 for fork in _FORKS},
            # policy 0: the validators propose in turn; sub: how many sit in a round's committee.
            "istanbul": {"epoch": 604_800, "policy": 0, "sub": 100},
            "unitPrice": _BASE_FEE_LOWEST_WEI,
            "deriveShaImpl": 0,
            "governance": _governance(),
        },
        "timestamp": hex(timestamp_s),
        "extraData": "0x" + extra.hex(),
        "governanceData": "",
        "blockScore": "0x1",
        "alloc": {address[2:]: {"balance": hex(_BALANCE_WEI)} for address in funded},
        "number": "0x0",
        "gasUsed": "0x0",
        "parentHash": "0x" + "00" * 32,
    }


def _governance() -> dict[str, Any]:
    return {
        "governanceMode": "ballot",
        "governingNode": _NOBODY,
        "govParamContract": _NOBODY,
        # Nobody earns by validating: no coins are minted.
        "reward": {
            "mintingAmount": 0,
            "ratio": "100/0/0",
            "kip82ratio": "20/80",
            "useGiniCoeff": False,
            "deferredTxFee": False,
            "stakingUpdateInterval": 86_400,
            "proposerUpdateInterval": 3_600,
            "minimumStake": 0,
        },
        "kip71": {
            "lowerboundbasefee": _BASE_FEE_LOWEST_WEI,
            "upperboundbasefee": _BASE_FEE_HIGHEST_WEI,
            "gastarget": 30_000_000,
            "maxblockgasusedforbasefee": 60_000_000,
            "basefeedenominator": 20,
        },
    }


def static_peers(of: Validator, all_: Sequence[Validator], dial_port: DialPort) -> list[str]:
    """The other validators as Kaia's static-nodes.json names them."""
    return [
        f"kni://{peer.peer_id}@127.0.0.1:{dial_port(of, peer)}?discport=0&ntype=cn"
        for peer in all_
        if peer != of
    ]
