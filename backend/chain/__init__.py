"""Chain: the JSON-RPC client with its engine profiles, deployment, and the exactly-once sender.

`ChainClient` talks to any engine; `deploy` puts the contracts there; `prepare` and `Driver` bring
a transaction there once. `contracts` holds the encodings of formats.md §7-8, `spaces` and
`settlements` those for parking, `timelock` what must be announced first, `keys` the signers.
The embedded node lives in `backend.chain.node` and is imported by the `node` command alone.
"""

import sys

from backend.chain import (
    approvals,
    batches,
    contracts,
    keys,
    settlements,
    spaces,
    timelock,
    upgrade,
)
from backend.chain.access import (
    ChainAccess,
    open_access,
    record_deployments,
    record_implementation,
    recorded_deployments,
)
from backend.chain.client import ChainClient, NodeAway, Receipt, RpcError
from backend.chain.deploy import (
    SHORT_DELAY_S,
    Deployment,
    DeploymentDiffers,
    deploy,
    planned_addresses,
    planned_timelock,
    require_chain,
)
from backend.chain.keys import POST_LANES_MAX, ChainKeys, Signer, Terms, open_keys
from backend.chain.keystores import new_keystore, open_keystore, rewrap_keystore
from backend.chain.lanes import Lane, lanes_of, paused
from backend.chain.probe import ChainUnfit, probe, require_fit
from backend.chain.profile import PROFILES, ChainProfile, profile_of
from backend.chain.proxy import RpcProxy
from backend.chain.sender import (
    ChainTx,
    Driver,
    Purpose,
    chain_terms,
    explain_failure,
    prepare,
)

# py_ecc, which eth_keys loads, raises this to 100,000 for the whole process. JSON that is nested
# deeply enough then overruns the C stack of every parser and kills the process.
sys.setrecursionlimit(1_000)

__all__ = [
    "POST_LANES_MAX",
    "PROFILES",
    "SHORT_DELAY_S",
    "ChainAccess",
    "ChainClient",
    "ChainKeys",
    "ChainProfile",
    "ChainTx",
    "ChainUnfit",
    "Deployment",
    "DeploymentDiffers",
    "Driver",
    "Lane",
    "NodeAway",
    "Purpose",
    "Receipt",
    "RpcError",
    "RpcProxy",
    "Signer",
    "Terms",
    "approvals",
    "batches",
    "chain_terms",
    "contracts",
    "deploy",
    "explain_failure",
    "keys",
    "lanes_of",
    "new_keystore",
    "open_access",
    "open_keys",
    "open_keystore",
    "paused",
    "planned_addresses",
    "planned_timelock",
    "prepare",
    "probe",
    "profile_of",
    "record_deployments",
    "record_implementation",
    "recorded_deployments",
    "require_chain",
    "require_fit",
    "rewrap_keystore",
    "settlements",
    "spaces",
    "timelock",
    "upgrade",
]
