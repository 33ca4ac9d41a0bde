"""A partner's check of a daily statement: nothing is signed that was not worked out here.

The platform lists the digests under its root. The partner holds against them what it sent itself,
builds the root on its own (formats.md §14: SM3, tree of RFC 9162), and signs the text it made,
never the platform's.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.kit import canonical
from backend.kit.sm import Sm2PrivateKey, sm3
from backend.partner_client.door import PartnerDoor

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)

Own = dict[bytes, str]
"""Digest of an event that was sent → its id (or the digest itself where no more is known)."""


@dataclass(frozen=True, slots=True)
class StatementCheck:
    """What became of holding a statement against one's own events.

    `unknown` are digests the platform counts and we never sent, `absent` the ids of our events it
    does not count on that day (rejected, or received on another day), `faults` what is wrong with
    the list itself.
    """

    partner_id: str
    day: str
    count: int
    root: bytes
    unknown: tuple[str, ...]
    absent: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the platform counts only what was sent, under the root that follows from it."""
        return not self.unknown and not self.faults

    @property
    def text(self) -> bytes:
        """What is signed: made from our own count and root."""
        said = f"{self.partner_id}\n{self.day}\n{self.count}\n{self.root.hex()}\n"
        return b"tanhui-statement-v1\n" + said.encode()


def digest_of(partner_id: str, event: dict[str, Any]) -> bytes:
    """The digest of an event as it was sent (formats.md §2)."""
    return sm3(f"tanhui-event-v1\n{partner_id}\n".encode() + canonical.dumps(event))


def own_digests(partner_id: str, events: Iterable[dict[str, Any]]) -> Own:
    """Events that were sent, by digest."""
    return {digest_of(partner_id, event): str(event["id"]) for event in events}


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The CloudEvents of a file: a JSON array, or one event a line. Raises ValueError."""
    with path.open(encoding="utf-8-sig") as file:
        start = file.read(1)
        file.seek(0)
        if start == "[":
            yield from json.load(file)
            return
        for number, line in enumerate(file, 1):
            if line.strip():
                event = json.loads(line)
                if not isinstance(event, dict) or "id" not in event:
                    raise ValueError(f"{path}, line {number}: not a CloudEvent")
                yield event


def read_digests(path: Path) -> Own:
    """A list of event digests in hex, one a line. Raises ValueError."""
    own: Own = {}
    for number, line in enumerate(path.read_text("utf-8-sig").split(), 1):
        if not _HEX.fullmatch(line):
            raise ValueError(f"{path}, entry {number}: not a digest of 64 hex digits")
        own[bytes.fromhex(line)] = line
    return own


def statement_root(digests: list[bytes]) -> bytes:
    """The root over digests in ascending order: leaf H(0x00 ‖ digest), node H(0x01 ‖ l ‖ r)."""
    # Level by level: a node without a sibling moves up as it is, which is RFC 9162's shape.
    row = [sm3(b"\x00" + digest) for digest in digests]
    if not row:
        return sm3(b"")
    while len(row) > 1:
        pairs = [sm3(b"\x01" + row[i] + row[i + 1]) for i in range(0, len(row) - 1, 2)]
        row = pairs + row[len(pairs) * 2 :]
    return row[0]


def check_statement(door: PartnerDoor, partner_id: str, day: str, own: Own) -> StatementCheck:
    """Hold the platform's statement of a day against the events we sent.

    Raises UploadRefused (such as 409 `day-not-over`) and httpx.TransportError.
    """
    stated = door.statement(day)
    listed = [bytes.fromhex(each) for each in door.statement_digests(day)]
    digests = sorted(set(listed))
    root = statement_root(digests)
    faults: list[str] = []
    if digests != listed:
        faults.append("清单未按字节升序排列或有重复 the list is unsorted or repeats itself")
    if len(digests) != stated["count"]:
        faults.append(f"笔数不符 count: stated {stated['count']}, listed {len(digests)}")
    if root.hex() != stated["root"]:
        faults.append(f"根哈希不符 root: stated {stated['root']}, listed events give {root.hex()}")
    there = set(digests)
    return StatementCheck(
        partner_id=partner_id,
        day=day,
        count=len(digests),
        root=root,
        unknown=tuple(each.hex() for each in digests if each not in own),
        absent=tuple(name for digest, name in own.items() if digest not in there),
        faults=tuple(faults),
    )


def cosign_statement(
    door: PartnerDoor, check: StatementCheck, key: Sm2PrivateKey
) -> dict[str, Any]:
    """Sign what was checked and hand it in; the co-signature that stands.

    Raises ValueError when the check does not hold, UploadRefused when the platform refuses.
    """
    if not check.holds:
        raise ValueError("a statement that does not hold is not signed")
    return door.cosign(check.day, base64.b64encode(key.sign_der(check.text)).decode("ascii"))
