"""Public door `/public/v1`: what anyone needs to check us, without signing in."""

from backend.public_api.door import PublicTools, health_router, router

__all__ = ["PublicTools", "health_router", "router"]
