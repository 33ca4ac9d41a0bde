"""Errors people meet: RFC 9457 problems with a name, a Chinese sentence, ids and the next step."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

PROBLEM_TYPE_BASE = "https://tanhui.example/problems/"
"""Prefix of every problem's `type`: an identifier, not a page that is fetched."""


class Problem(Exception):
    """A named refusal that a door answers as `application/problem+json`.

    `name` is kebab-case and stable; `detail` is for people, in Chinese; `ids` are the
    identifiers concerned and become members of the document.
    """

    def __init__(
        self,
        status: int,
        name: str,
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **ids: Any,
    ) -> None:
        super().__init__(f"{name}: {detail}")
        self.status = status
        self.name = name
        self.detail = detail
        self.title = title if title is not None else name.replace("-", " ").capitalize()
        self.headers = dict(headers or {})
        self.ids = ids

    def document(self) -> dict[str, Any]:
        """The members of the problem document."""
        return {
            "type": PROBLEM_TYPE_BASE + self.name,
            "title": self.title,
            "detail": self.detail,
            "status": self.status,
            **self.ids,
        }


def problem_response(problem: Problem) -> Response:
    """The HTTP answer of a problem."""
    return Response(
        json.dumps(problem.document(), ensure_ascii=False).encode(),
        status_code=problem.status,
        media_type="application/problem+json",
        headers=problem.headers,
    )
