"""The log in public: trust file, checkpoints, proofs, batches."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from backend import proof, views
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services

NO_TRUST: Refusal = (503, "not-deployed", "合约尚未部署,没有可发布的信任文件。")
NO_CHECKPOINT: Refusal = (404, "no-checkpoint", "没有这个大小的检查点。")
NO_LEAF: Refusal = (404, "unknown-leaf", "日志还没有这么大。")
BAD_RANGE: Refusal = (422, "bad-range", "序号须小于大小,起点须为正且不大于终点。")
UNKNOWN_BATCH: Refusal = (404, "unknown-batch", "没有这个入账批次。")

SIZE_MAX = 2**53 - 1
Size = Annotated[int, Query(ge=1, le=SIZE_MAX, description="Leaves in the tree")]
_BATCH_ID = re.compile(r"(0x)?[0-9a-f]{64}")


class Inclusion(BaseModel):
    """Proof that a leaf stands at `index` of the tree of `size` leaves (RFC 9162 §2.1.3)."""

    index: int
    size: int
    leaf_hash: str
    path: list[str]


class Consistency(BaseModel):
    """Proof that the tree of `to` leaves begins with the tree of `from` (RFC 9162 §2.1.4)."""

    from_: int = Field(serialization_alias="from")
    to: int
    path: list[str]


class BatchOut(BaseModel):
    """A batch of formats.md §7 and its transaction; records are account20 ‖ u32 in hex."""

    batch_id: str
    state: str
    refused_reason: str | None
    kind: int
    points_class: str = Field(serialization_alias="class")
    programme: str
    rule: str
    rule_version: int
    reason: int
    leaf_from: int
    leaf_to: int
    account_from: str
    account_to: str
    day_from: int
    day_to: int
    accounts: int
    total: int
    records: str
    contract: str
    tx: str
    block: int | None


def add_log(public: APIRouter, services: Services) -> None:
    """`/trust`, `/checkpoint`, `/checkpoints/{size}`, `/proof`, `/consistency`, `/batches/{id}`."""
    _add_trust(public, services)
    _add_checkpoints(public, services)
    _add_proofs(public, services)
    _add_batches(public, services)


def _add_trust(public: APIRouter, services: Services) -> None:
    async def published() -> proof.PublishedTrust:
        async with services.db.transaction(readonly=True) as tx:
            trust = await proof.latest_trust(tx)
        if trust is None:
            raise Problem(*NO_TRUST, headers={"Retry-After": "2"})
        return trust

    @public.get(
        "/trust",
        summary="trust.json: what to pin before believing anything",
        response_class=Response,
        responses={
            200: {
                "description": "tanhui-trust-v1, canonical JSON",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **refusals(NO_TRUST),
        },
    )
    async def trust() -> Response:  # pyright: ignore[reportUnusedFunction]
        found = await published()
        return Response(found.document, media_type="application/json")

    @public.get(
        "/trust.sig",
        summary="The root key's signature line over trust.json",
        response_class=Response,
        responses={
            200: {"description": "One signature line", "content": {"text/plain": {}}},
            **refusals(NO_TRUST),
        },
    )
    async def signature() -> Response:  # pyright: ignore[reportUnusedFunction]
        found = await published()
        return Response(found.signature or "", media_type="text/plain; charset=utf-8")


def _add_checkpoints(public: APIRouter, services: Services) -> None:
    note: dict[int | str, dict[str, Any]] = {
        200: {"description": "A signed note", "content": {"text/plain": {}}}
    }

    @public.get(
        "/checkpoint",
        summary="The newest signed head of the log",
        response_class=Response,
        responses={**note, **refusals(NO_CHECKPOINT)},
    )
    async def newest() -> Response:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(readonly=True) as tx:
            return _note(await proof.latest_checkpoint(tx))

    @public.get(
        "/checkpoints/{size}",
        summary="The signed head of a given size; every anchored size stays readable",
        response_class=Response,
        responses={**note, **refusals(NO_CHECKPOINT, BAD_SHAPE)},
    )
    async def at_size(  # pyright: ignore[reportUnusedFunction]
        size: Annotated[int, Path(ge=1, le=SIZE_MAX)],
    ) -> Response:
        async with services.db.transaction(readonly=True) as tx:
            return _note(await proof.checkpoint_at(tx, size))


def _note(found: proof.Checkpoint | None) -> Response:
    if found is None:
        raise Problem(*NO_CHECKPOINT)
    return Response(found.note, media_type="text/plain; charset=utf-8")


def _add_proofs(public: APIRouter, services: Services) -> None:
    @public.get(
        "/proof",
        summary="That a leaf stands in the log",
        responses=refusals(NO_LEAF, BAD_RANGE, BAD_SHAPE),
    )
    async def inclusion(  # pyright: ignore[reportUnusedFunction]
        index: Annotated[int, Query(ge=0, le=SIZE_MAX)], size: Size
    ) -> Inclusion:
        if index >= size:
            raise Problem(*BAD_RANGE, index=index, size=size)
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            leaf = await proof.leaf_at(tx, index)
            if leaf is None or size > await proof.size(tx):
                raise Problem(*NO_LEAF, index=index, size=size)
            path = await proof.inclusion(tx, index, size)
        return Inclusion(
            index=index,
            size=size,
            leaf_hash=leaf.leaf_hash.hex(),
            path=[node.hex() for node in path],
        )

    @public.get(
        "/consistency",
        summary="That an older log is the beginning of a newer one",
        responses=refusals(NO_LEAF, BAD_RANGE, BAD_SHAPE),
    )
    async def consistency(  # pyright: ignore[reportUnusedFunction]
        older: Annotated[int, Query(alias="from", ge=1, le=SIZE_MAX)],
        newer: Annotated[int, Query(alias="to", ge=1, le=SIZE_MAX)],
    ) -> Consistency:
        if older > newer:
            raise Problem(*BAD_RANGE, older=older, newer=newer)
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            if newer > await proof.size(tx):
                raise Problem(*NO_LEAF, to=newer)
            path = await proof.consistency(tx, older, newer)
        return Consistency(from_=older, to=newer, path=[node.hex() for node in path])


def _add_batches(public: APIRouter, services: Services) -> None:
    @public.get(
        "/batches/{batch_id}",
        summary="A batch that was posted to accounts",
        responses=refusals(UNKNOWN_BATCH),
    )
    async def batch(batch_id: str) -> BatchOut:  # pyright: ignore[reportUnusedFunction]
        if _BATCH_ID.fullmatch(batch_id) is None:
            raise Problem(*UNKNOWN_BATCH)
        async with services.db.transaction(readonly=True) as tx:
            found = await views.batch_of(tx, bytes.fromhex(batch_id.removeprefix("0x")))
        if found is None:
            raise Problem(*UNKNOWN_BATCH, batch_id=batch_id)
        return BatchOut(
            batch_id=found.batch_id.hex(),
            state=found.state,
            refused_reason=found.refused_reason,
            kind=found.kind,
            points_class=found.points_class,
            programme=found.programme,
            rule=found.rule,
            rule_version=found.rule_version,
            reason=found.reason,
            leaf_from=found.leaf_from,
            leaf_to=found.leaf_to,
            account_from=found.account_from.hex(),
            account_to=found.account_to.hex(),
            day_from=found.day_from,
            day_to=found.day_to,
            accounts=found.account_count,
            total=found.total,
            records=found.records.hex(),
            contract=found.contract,
            tx=f"0x{found.tx_hash.hex()}",
            block=found.block,
        )
