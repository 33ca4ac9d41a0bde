"""Rule and method files as officials write them: JSON, or YAML with the same members."""

import json
from datetime import date
from pathlib import Path
from typing import Any, cast


def read_rule_file(file: Path) -> bytes:
    """The canonical JSON of a document's file.

    Raises DocumentError `not-canonical`, `not-json` or `not-yaml`.
    """
    from backend.kit import canonical
    from backend.kit.needs import DocumentError

    try:
        return canonical.dumps(canonical.parse_event_json(as_json(file)))
    except canonical.NotCanonical as error:
        raise DocumentError("not-canonical", error.reason) from error
    except canonical.NotJson as error:
        raise DocumentError("not-json", str(error)) from error


def as_json(file: Path) -> bytes:
    """The file's JSON; a YAML file is turned into it. Raises DocumentError `not-yaml`."""
    import yaml

    from backend.kit.needs import DocumentError

    text = file.read_bytes()
    if file.suffix not in (".yaml", ".yml"):
        return text
    try:
        return json.dumps(_plain(yaml.safe_load(text)), ensure_ascii=False).encode()
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise DocumentError("not-yaml", str(error).replace("\n", " ")) from error


def _plain(value: Any) -> Any:
    """YAML reads a bare 2026-01-01 as a date; documents hold it as text."""
    if isinstance(value, dict):
        members = cast("dict[object, Any]", value)
        return {str(name): _plain(each) for name, each in members.items()}
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    return value.isoformat() if isinstance(value, date) else value
