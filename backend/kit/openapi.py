"""How doors describe their refusals in OpenAPI: every problem a route can give, with an example."""

from typing import Any

from backend.kit.problems import PROBLEM_TYPE_BASE

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem: `type` and `title` name it, `detail` is for people (Chinese)",
    "required": ["type", "title", "detail", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "detail": {"type": "string"},
        "status": {"type": "integer"},
    },
    "additionalProperties": True,
}

Refusal = tuple[int, str, str]
"""(status, kebab-case name, Chinese sentence)"""

BAD_SHAPE: Refusal = (422, "bad-shape", "请求的内容或参数不合规定。")
DATABASE_AWAY: Refusal = (503, "database-away", "数据库暂时不可用,请稍后重试。")


def refusals(*known: Refusal) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: those problems, one example each, grouped by status.

    Every route may also answer 503 `database-away`; it is always among them.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    for status, name, detail in (*known, DATABASE_AWAY):
        entry = responses.setdefault(
            status,
            {
                "description": "",
                "content": {"application/problem+json": {"schema": PROBLEM_SCHEMA, "examples": {}}},
            },
        )
        examples = entry["content"]["application/problem+json"]["examples"]
        examples[name] = {
            "value": {
                "type": PROBLEM_TYPE_BASE + name,
                "title": name.replace("-", " ").capitalize(),
                "detail": detail,
                "status": status,
            }
        }
        entry["description"] = " · ".join(examples)
    return responses
