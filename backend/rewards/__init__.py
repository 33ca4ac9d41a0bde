"""Rewards: the catalogue, redemptions, and the suppliers that hand over what points bought."""

from backend.rewards import catalogue, redemptions, suppliers
from backend.rewards.catalogue import Policy, Reward
from backend.rewards.redemptions import Redemption

__all__ = ["Policy", "Redemption", "Reward", "catalogue", "redemptions", "suppliers"]
