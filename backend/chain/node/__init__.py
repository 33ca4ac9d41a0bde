"""The embedded node: one process that owns a chain and speaks standard JSON-RPC on loopback.

Only this package imports py-evm; importing `backend.chain` does not load it.
"""
