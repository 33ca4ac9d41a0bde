"""What doors and flows are handed: the open tools of one process."""

from dataclasses import dataclass

from backend.kit.clock import Clock
from backend.kit.db import Database
from backend.kit.settings import Settings
from backend.kit.vault import Vault


@dataclass(frozen=True, slots=True)
class Services:
    """The database, the vault, the clock and the settings of this process."""

    db: Database
    vault: Vault
    clock: Clock
    settings: Settings
