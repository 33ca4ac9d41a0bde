"""Rules that come with the product, as examples to enact or to start from."""

import json
from functools import cache
from pathlib import Path

from backend.kit import canonical

DOCUMENTS = Path(__file__).parent / "documents"


@cache
def shipped_rules() -> dict[tuple[str, int], bytes]:
    """Canonical JSON of each shipped rule, by id and version."""
    found: dict[tuple[str, int], bytes] = {}
    for path in sorted(DOCUMENTS.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        found[document["id"], document["version"]] = canonical.dumps(document)
    return found
