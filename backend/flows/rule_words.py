"""scenario titles and field names → the words of a rule's card."""

from functools import cache

from backend import incentive, methodology
from backend.incentive import Words


def rule_card(document: bytes) -> str:
    """A rule as people read it. Raises DocumentError for other bytes."""
    return incentive.card(document, rule_words())


@cache
def rule_words() -> Words:
    """Titles of the scenarios and names of their fields, `乘车距离,米` as 乘车距离(米)."""
    specs = methodology.scenarios()
    fields: dict[str, str] = {}
    for spec in specs.values():
        for name, shape in spec.data_schema["properties"].items():
            what, _, unit = str(shape.get("description", name)).partition(",")
            # A longer remark is no unit.
            shown = f"{what}({unit})" if unit and len(unit) <= 4 else what
            fields.setdefault(name, shown)
    return Words({name: spec.title for name, spec in specs.items()}, fields)
