"""The pages, a file each."""

# pyright: standard

from backend.gov_panel.desk import Desk
from backend.gov_panel.pages import (
    audit,
    budgets,
    cases,
    cockpit,
    documents,
    drafting,
    evidence,
    exports,
    own_account,
    parking,
    partners,
    people,
)

PAGES = (
    cockpit,
    drafting,
    documents,
    budgets,
    partners,
    evidence,
    cases,
    people,
    audit,
    exports,
    own_account,
    parking,
)


def register(desk: Desk) -> None:
    """Serve every page."""
    for page in PAGES:
        page.register(desk)
