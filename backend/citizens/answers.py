"""Idempotency-Key: the first answer to a write is kept, sealed, and given again.

The scope is a person and a route, so nobody reaches another's answer by guessing a key.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from backend.kit.clock import Clock
from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.kit.sm import sm3
from backend.kit.vault import Vault

KEY_CHARACTERS_MAX = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body bytes of an answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What makes two writes the same: who and where (`scope`), the key, the body's bytes."""

    scope: str
    key: str | None
    body: bytes


async def once(
    tx: Tx,
    vault: Vault,
    clock: Clock,
    request: Request,
    make: Callable[[], Awaitable[Answer]],
) -> Answer:
    """The stored answer of this key, else `make()`'s, stored in the same commit.

    Twins that arrive together wait for the first. Without a key it is just `make()`.
    Raises Problem 409 `idempotency-key-reused` for another body, 422 `bad-idempotency-key`.
    A refusal that `make` raises is not stored: the same key may be tried again.
    """
    if request.key is None:
        return await make()
    scoped = _scoped(request, request.key)
    await tx.lock(int.from_bytes(scoped[:8], signed=True))
    known = await recall(tx, vault, request)
    if known is not None:
        return known
    answer = await make()
    await tx.execute(
        """INSERT INTO idempotent_answer
               (scope, key_hash, body_digest, status, answer_sealed, created_at)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        request.scope,
        scoped,
        sm3(request.body),
        answer.status,
        vault.seal(answer.body, _context(scoped)),
        clock.now(),
    )
    return answer


async def recall(tx: Tx, vault: Vault, request: Request) -> Answer | None:
    """The stored answer of this key, None before there is one. Raises as `once` does."""
    if request.key is None:
        return None
    scoped = _scoped(request, request.key)
    row = await tx.fetchrow(
        """SELECT body_digest, status, answer_sealed FROM idempotent_answer
           WHERE scope = $1 AND key_hash = $2""",
        request.scope,
        scoped,
    )
    if row is None:
        return None
    if row["body_digest"] != sm3(request.body):
        raise Problem(409, "idempotency-key-reused", "同一个 Idempotency-Key 已用于另一个请求。")
    return Answer(row["status"], vault.open_sealed(row["answer_sealed"], _context(scoped)))


def _scoped(request: Request, key: str) -> bytes:
    if not 1 <= len(key) <= KEY_CHARACTERS_MAX:
        raise Problem(422, "bad-idempotency-key", "Idempotency-Key 须为 1 至 255 个字符。")
    return sm3(f"tanhui-idempotency-v1\n{request.scope}\n{key}".encode())


def _context(scoped: bytes) -> bytes:
    return b"idempotent-answer/" + scoped
