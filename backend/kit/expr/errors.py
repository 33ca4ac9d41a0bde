"""The one error of the expression language."""

from typing import Literal

ErrorKind = Literal["syntax", "type", "overflow", "division"]


class ExprError(ValueError):
    """An expression that cannot be read (`syntax`, `type`) or evaluated (`overflow`, `division`).

    `syntax` and `type` are raised by `parse`, before any evaluation; a value of another type than
    the one declared for its name is `type` too.
    """

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind: ErrorKind = kind
