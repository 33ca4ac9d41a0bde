"""Canonical JSON written a second time, character by character, to hold the product against."""

import re
from typing import Any

from backend.kit.canonical import NotJson


class Oracle:
    """A character-by-character JSON reader, written apart from the code under test."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.breaches = text, 0, set[str]()

    def document(self) -> Any:
        value = self.value(1)
        self.blanks()
        if self.at != len(self.text):
            raise NotJson("more")
        return value

    def blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t\n\r":
            self.at += 1

    def take(self, literal: str) -> None:
        if not self.text.startswith(literal, self.at):
            raise NotJson(literal)
        self.at += len(literal)

    def peek(self) -> str:
        self.blanks()
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> Any:
        mark = self.peek()
        if mark and mark in "[{" and depth > 16:
            self.breaches.add("too-deep")
        if mark == "{":
            return self.members(depth)
        if mark == "[":
            return self.elements(depth)
        if mark == '"':
            return self.string()
        for literal, value in (("true", True), ("false", False), ("null", None)):
            if self.text.startswith(literal, self.at):
                self.at += len(literal)
                return value
        return self.number()

    def elements(self, depth: int) -> list[Any]:
        self.take("[")
        found: list[Any] = []
        if self.peek() == "]":
            self.take("]")
            return found
        while True:
            found.append(self.value(depth + 1))
            if self.peek() == "]":
                self.take("]")
                return found
            self.take(",")

    def members(self, depth: int) -> dict[str, Any]:
        self.take("{")
        found: dict[str, Any] = {}
        if self.peek() == "}":
            self.take("}")
            return found
        while True:
            self.blanks()
            key = self.string()
            if key in found:
                self.breaches.add("duplicate-key")
            if not (
                1 <= len(key) <= 64
                and all(c.isascii() and (c.isalnum() or c in "_.-") for c in key)
            ):
                self.breaches.add("bad-key")
            self.blanks()
            self.take(":")
            found[key] = self.value(depth + 1)
            if self.peek() == "}":
                self.take("}")
                return found
            self.take(",")

    def string(self) -> str:
        self.take('"')
        units: list[int] = []
        while True:
            mark = self.text[self.at : self.at + 1]
            if not mark or mark < " ":
                raise NotJson("string")
            self.at += 1
            if mark == '"':
                break
            if mark == "\\":
                units += self.escape()
            else:
                units += memoryview(mark.encode("utf-16-le")).cast("H").tolist()
        raw = b"".join(unit.to_bytes(2, "little") for unit in units)
        try:
            text = raw.decode("utf-16-le")
        except UnicodeDecodeError:
            self.breaches.add("lone-surrogate")
            return raw.decode("utf-16-le", "surrogatepass")
        if "\x00" in text:
            self.breaches.add("nul-character")
        return text

    def escape(self) -> list[int]:
        mark = self.text[self.at : self.at + 1]
        self.at += 1
        simple = {"n": 10, "t": 9, "r": 13, "b": 8, "f": 12, '"': 34, "\\": 92, "/": 47}
        if mark in simple:
            return [simple[mark]]
        digits = self.text[self.at : self.at + 4]
        if mark != "u" or not re.fullmatch("[0-9a-fA-F]{4}", digits):
            raise NotJson("escape")
        self.at += 4
        return [int(digits, 16)]

    def number(self) -> int:
        match = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?").match(
            self.text, self.at
        )
        if match is None:
            raise NotJson("number")
        self.at = match.end()
        if match[3]:
            self.breaches.add("exponent")
        elif match[2]:
            self.breaches.add("fraction")
        elif match[0] == "-0":
            self.breaches.add("negative-zero")
        elif len(match[0]) > 20 or abs(int(match[0])) > 2**53 - 1:
            self.breaches.add("integer-out-of-range")
        else:
            return int(match[0])
        return 0


def spelled(value: Any) -> bytes:
    """RFC 8785 written out again, without the encoder under test."""
    if isinstance(value, dict):
        return b"{" + b",".join(spelled(k) + b":" + spelled(value[k]) for k in sorted(value)) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(spelled, value)) + b"]"
    if isinstance(value, str):
        short = {
            '"': '\\"',
            "\\": "\\\\",
            "\b": "\\b",
            "\t": "\\t",
            "\n": "\\n",
            "\f": "\\f",
            "\r": "\\r",
        }
        return (
            '"'
            + "".join(short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in value)
            + '"'
        ).encode()
    return (
        {None: b"null", True: b"true", False: b"false"}.get(value)
        if value is None or isinstance(value, bool)
        else str(value).encode()
    )  # type: ignore[return-value]


def verdict_of_oracle(data: bytes) -> tuple[str, Any]:
    try:
        oracle = Oracle(data.decode())
        value = oracle.document()
    except (NotJson, UnicodeDecodeError):
        return "not-json", None
    if oracle.breaches:
        return "refused", oracle.breaches
    return ("ok", spelled(value)) if isinstance(value, dict) else ("refused", {"not-an-object"})
