"""Citizens' door `/miniapp/v1`: sign in, consent, and see what became of every activity."""

from miniapp_api.client import client_router
from miniapp_api.door import router

__all__ = ["client_router", "router"]
