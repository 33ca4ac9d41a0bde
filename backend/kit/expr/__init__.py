"""The integer expression language of methods and rules (docs/formats.md section 10)."""

from backend.kit.expr.checker import ExprType
from backend.kit.expr.compiler import Value
from backend.kit.expr.errors import ErrorKind, ExprError
from backend.kit.expr.expression import Expression, parse
from backend.kit.expr.partial import decided
from backend.kit.expr.publication import PublicationRefused, check_at_publication
from backend.kit.expr.syntax import is_name
from backend.kit.expr.thresholds import thresholds
from backend.kit.expr.words import in_chinese

__all__ = [
    "ErrorKind",
    "ExprError",
    "ExprType",
    "Expression",
    "PublicationRefused",
    "Value",
    "check_at_publication",
    "decided",
    "in_chinese",
    "is_name",
    "parse",
    "thresholds",
]
