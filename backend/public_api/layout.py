"""The frame of every public page and the few pieces they are made of. No script in any of them."""

import html
from collections.abc import Iterable, Sequence

from fastapi.responses import HTMLResponse

NAVIGATION = (
    ("/verify", "核验"),
    ("/rules", "规则"),
    ("/methods", "方法"),
    ("/notices", "公示"),
    ("/docs", "接口"),
)
_MARK = (
    '<svg viewBox="0 0 64 64" aria-hidden="true"><rect width="64" height="64" rx="16"'
    ' fill="#0b6b45"/><path fill="#d9f5e5" d="M16 42c0-16 12-25 33-25 0 21-9 33-25 33-3 0-5-1-7-2'
    ' 5-11 11-17 20-22-11 3-17 9-21 16z"/></svg>'
)


def text(value: object) -> str:
    """A value as HTML text."""
    return html.escape(str(value))


def page(title: str, body: str, *, here: str = "", head: str = "") -> HTMLResponse:
    """A whole page around a body that is already HTML; `here` is its entry in the navigation."""
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if path == here else ""}>{name}</a>'
        for path, name in NAVIGATION
    )
    return HTMLResponse(
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title>"
        '<link rel="icon" href="/mark.svg" type="image/svg+xml">'
        f'<link rel="stylesheet" href="/site.css">{head}</head><body><div class="page">'
        f'<header class="top"><a class="brand" href="/">{_MARK}碳惠</a>'
        f'<nav aria-label="主导航">{links}</nav></header><main>{body}</main></div></body></html>'
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    """A table of cells that are HTML already; the last `numbers` columns are figures."""
    first = len(heads) - numbers
    top = "".join(_cell("th", place >= first, text(each)) for place, each in enumerate(heads))
    lines = "".join(
        f"<tr>{''.join(_cell('td', place >= first, each) for place, each in enumerate(row))}</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead>{lines}</table></div>'


def _cell(kind: str, number: bool, content: str) -> str:
    return f"<{kind}{' class=number' if number else ''}>{content}</{kind}>"


def tag(words: str, look: str = "") -> str:
    """A small label: look is good, warn, bad, stated or nothing."""
    return f'<span class="tag {look}">{text(words)}</span>'


def bar(part: int, whole: int) -> str:
    """How much of a whole is used, as a bar of an SVG (a policy without inline styles)."""
    percent = min(100, part * 100 // whole) if whole > 0 else 0
    return (
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        f'aria-label="已用 {percent}%"><rect width="{percent}" height="8"/></svg>'
    )
