"""The embedded node: one process that owns a chain and speaks standard JSON-RPC on loopback.

Only this package imports py-evm; importing `backend.chain` does not load it.
"""

from backend.chain.node.engine import NodeError
from backend.chain.node.server import serve_node
from backend.chain.node.store import StoreInUse

__all__ = ["NodeError", "StoreInUse", "serve_node"]
