"""A database of its own for a benchmark: durable settings, migrated, gone afterwards."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.kit.db import Database
from backend.kit.migrate import migrate
from backend.kit.pg import Server, attach, destroy
from backend.kit.vault import Vault


@dataclass(frozen=True, slots=True)
class Scratch:
    """An empty installation: `db` under the application's role, `owner` under the owner's."""

    server: Server
    db: Database
    owner: Database
    vault: Vault
    keys_dir: Path


@asynccontextmanager
async def scratch() -> AsyncGenerator[Scratch]:
    """Start an embedded server as the product does (fsync on), and remove it in the end."""
    with tempfile.TemporaryDirectory(prefix="tanhui-bench-") as folder:
        var = Path(folder)
        server = await asyncio.to_thread(attach, var, database_url="")
        try:
            await asyncio.to_thread(migrate, server.url("owner"))
            db = await Database.open(server.url("app"))
            owner = await Database.open(server.url("owner"), size=2)
            try:
                yield Scratch(server, db, owner, Vault(var / "keys"), var / "keys")
            finally:
                await db.close()
                await owner.close()
        finally:
            await asyncio.to_thread(server.release)
            await asyncio.to_thread(destroy, var)
