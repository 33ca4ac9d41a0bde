"""The methods that come with the product."""

import json
from functools import cache

from backend.kit import canonical
from backend.methodology.grid import SCENARIO as HOME_ENERGY
from backend.methodology.grid import grid_methods
from backend.methodology.scenarios import DOCUMENTS


@cache
def shipped_methods() -> dict[tuple[str, int], bytes]:
    """The methods that a city starts with, as canonical JSON, by id and version.

    Of those made from the grid table only the national average is among them; the other series
    and the provinces are there to be drafted by a city that wants them (`grid_methods`).
    """
    found: dict[tuple[str, int], bytes] = {}
    for path in sorted(DOCUMENTS.glob("*.v*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        found[document["id"], document["version"]] = canonical.dumps(document)
    return found | {key: text for key, text in grid_methods().items() if key[0] == HOME_ENERGY}
