"""The API described as one plain page, made from its OpenAPI document."""

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

DOORS = {
    "public": "公开 · 无需登录",
    "miniapp": "市民 · Bearer 令牌",
    "partner": "合作平台 · 签名请求",
    "gov": "主管部门 · 角色与动态码",
    "watch": "运行状态",
}


def reference_page(schema: Mapping[str, Any]) -> str:
    """The body of `/docs`: every route by door, with parameters, bodies, answers and errors."""
    parts = [
        f"<h1>接口说明 · {_text(schema['info']['title'])}</h1>",
        f"<p>{_text(schema['info'].get('description', ''))}</p>",
        '<p><a href="/openapi.json">openapi.json</a></p>',
    ]
    for door, title in DOORS.items():
        parts.append(f"<h2>{_text(title)}</h2>")
        parts += [_route(schema, *each) for each in _routes(schema, door)]
    return "".join(parts)


def _routes(schema: Mapping[str, Any], door: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            if door in route.get("tags", ()):
                yield method.upper(), path, route


def _route(schema: Mapping[str, Any], method: str, path: str, route: Mapping[str, Any]) -> str:
    body = route.get("requestBody", {}).get("content", {})
    return (
        f"<details><summary><code>{method} {_text(path)}</code> "
        f"{_text(route.get('summary', ''))}</summary>"
        f"<p>{_text(route.get('description', ''))}</p>"
        f"{_parameters(route)}"
        f"{''.join(_content(schema, '请求体', kind, each) for kind, each in body.items())}"
        f"{_answers(schema, route)}</details>"
    )


def _parameters(route: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{_text(each['name'])}</code></td><td>{_text(each['in'])}"
        f"{' · 必填' if each.get('required') else ''}</td>"
        f"<td>{_text(each.get('description', ''))}</td></tr>"
        for each in route.get("parameters", ())
    )
    return f"<table>{rows}</table>" if rows else ""


def _answers(schema: Mapping[str, Any], route: Mapping[str, Any]) -> str:
    rows: list[str] = []
    for status, answer in route["responses"].items():
        shown = "".join(
            _content(schema, "", kind, each) for kind, each in answer.get("content", {}).items()
        )
        rows.append(
            f"<tr><td><b>{_text(status)}</b></td>"
            f"<td>{_text(answer.get('description', ''))}{shown}</td></tr>"
        )
    return f"<table>{''.join(rows)}</table>"


def _content(schema: Mapping[str, Any], label: str, kind: str, content: Mapping[str, Any]) -> str:
    lines = [f"<p class=muted>{_text(label)} {_text(kind)}</p>"]
    examples = [each["value"] for each in content.get("examples", {}).values()]
    if "example" in content:
        examples.append(content["example"])
    if not examples and "schema" in content:
        examples.append(_resolved(schema, content["schema"], 3))
    lines += [
        f"<pre>{_text(json.dumps(each, ensure_ascii=False, indent=1))}</pre>" for each in examples
    ]
    return "".join(lines)


def _resolved(schema: Mapping[str, Any], part: Any, depth: int) -> Any:
    """A schema with its references filled in, to a depth that a reader can still follow."""
    if isinstance(part, list):
        return [_resolved(schema, each, depth) for each in part]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(part, dict):
        return part
    known: dict[str, Any] = part  # pyright: ignore[reportUnknownVariableType]
    if "$ref" in known:
        name = str(known["$ref"]).rpartition("/")[2]
        if depth == 0:
            return name
        return _resolved(schema, schema["components"]["schemas"][name], depth - 1)
    return {name: _resolved(schema, each, depth) for name, each in known.items()}


def _text(value: object) -> str:
    return html.escape(str(value))
