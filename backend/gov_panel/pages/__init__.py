"""The pages, a file each."""

# pyright: standard

from backend.gov_panel.desk import Desk
from backend.gov_panel.pages import (
    audit,
    budgets,
    cockpit,
    documents,
    drafting,
    evidence,
    exports,
    partners,
    people,
)

PAGES = (cockpit, drafting, documents, budgets, partners, evidence, people, audit, exports)


def register(desk: Desk) -> None:
    """Serve every page."""
    for page in PAGES:
        page.register(desk)
