"""What the officials' routes work with beside the services: the government's lane to the chain."""

from dataclasses import dataclass

from backend.chain import ChainClient, open_keys
from backend.flows.government_lane import Government
from backend.kit.services import Services


@dataclass(frozen=True, slots=True)
class Office:
    """The services, and the node as the government's flows reach it."""

    services: Services
    client: ChainClient

    @property
    def government(self) -> Government:
        """The tools of the government's flows; its key is made with the installation."""
        services = self.services
        signer = open_keys(services.settings.keys_dir).government
        return Government(services.db, services.clock, self.client, signer)
