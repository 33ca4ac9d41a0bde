"""What a production installation refuses to start with (design.md §3, profiles)."""

import os

from backend.kit.settings import Settings
from backend.officials import refuse_demo_keys

UPGRADE_DELAY_S_MIN = 86_400
"""A day: the auditor must have time to see an announced upgrade and to stop it."""


class NotForProduction(RuntimeError):
    """The settings of a production installation name something that only a demo may have."""


def check_profile(settings: Settings) -> None:
    """Refuse to start a production profile on demo parts (design.md §3).

    A single-node chain is refused unless TANHUI_ACCEPT_SINGLE_NODE=1 says that it is meant.
    Raises NotForProduction or Problem 403 `demo-key`.
    """
    if settings.profile != "production":
        return
    refuse_demo_keys(settings.keys_dir, settings.profile)
    if settings.timelock_delay_s < UPGRADE_DELAY_S_MIN:
        raise NotForProduction(
            f"TANHUI_UPGRADE_DELAY_S is below {UPGRADE_DELAY_S_MIN}: nobody could object in time"
        )
    if settings.issuer_id == "tanhui.demo":
        raise NotForProduction("TANHUI_ISSUER_ID is still the demo's")
    accepted = os.environ.get("TANHUI_ACCEPT_SINGLE_NODE") == "1"
    if settings.chain_profile == "embedded" and not accepted:
        raise NotForProduction(
            "the embedded chain is a single node; set TANHUI_ACCEPT_SINGLE_NODE=1 to accept that"
        )
