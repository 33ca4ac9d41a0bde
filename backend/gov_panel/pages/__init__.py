"""The pages, a file each."""

# pyright: standard

from backend.gov_panel.desk import Desk
from backend.gov_panel.pages import audit, cockpit, documents, drafting

PAGES = (cockpit, drafting, documents, audit)


def register(desk: Desk) -> None:
    """Serve every page."""
    for page in PAGES:
        page.register(desk)
