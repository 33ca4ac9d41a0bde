"""A network of several validators on this machine, run by an engine that we only start.

For tests, rehearsals and measuring; in a city each institution runs its own (docs/chain.md).
"""

from backend.chain.network.engine import KAIA_RELEASE, EngineMissing, find_kcn
from backend.chain.network.genesis import DialPort, Validator
from backend.chain.network.network import Network, NetworkError, ValidatorStatus

__all__ = [
    "KAIA_RELEASE",
    "DialPort",
    "EngineMissing",
    "Network",
    "NetworkError",
    "Validator",
    "ValidatorStatus",
    "find_kcn",
]
