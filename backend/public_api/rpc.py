"""The public way to the chain: 300 calls a minute for each address, then 429."""

import json
import time
from typing import Any, cast

from fastapi import APIRouter, Request, Response

from backend import views
from backend.chain import ChainClient, NodeAway, RpcProxy
from backend.kit.db import Tx
from backend.kit.openapi import Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.sm import sm3

CALLS_PER_MINUTE_MAX = 300
WINDOW_S = 60

TOO_MANY: Refusal = (429, "too-many-calls", "每个地址每分钟最多 300 次调用,请稍后重试。")
CHAIN_AWAY: Refusal = (503, "chain-away", "区块链节点暂时没有回答,请稍后重试。")
TOO_LARGE: Refusal = (413, "body-too-large", "请求体过大。")

_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"description": "A JSON-RPC 2.0 call, or an array of at most 8"},
                "example": {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []},
            }
        },
    }
}


def add_rpc(public: APIRouter, services: Services, client: ChainClient) -> None:
    """`POST /chain/rpc`."""

    @public.post(
        "/chain/rpc",
        summary="JSON-RPC of the chain: reads only, eth_call to our contracts only",
        response_class=Response,
        responses={
            200: {
                "description": "JSON-RPC answer; refusals are JSON-RPC errors",
                "content": {"application/json": {"schema": {}}},
            },
            204: {"description": "Only notifications were sent"},
            **refusals(TOO_MANY, CHAIN_AWAY, TOO_LARGE),
        },
        openapi_extra=_REQUEST,
    )
    async def rpc(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        body = await request.body()
        caller = "" if request.client is None else request.client.host
        async with services.db.transaction() as tx:
            free = await take_calls(tx, caller, _calls_in(body), int(time.time()))
            contracts = [each.address for each in await views.deployed_contracts(tx)]
        if not free:
            raise Problem(*TOO_MANY, headers={"Retry-After": "10"})
        try:
            answer = await RpcProxy(client, contracts).handle(body)
        except NodeAway as error:
            raise Problem(*CHAIN_AWAY, headers={"Retry-After": "2"}) from error
        if not answer:
            return Response(status_code=204)
        return Response(answer, media_type="application/json")


async def take_calls(tx: Tx, caller: str, calls: int, second: int) -> bool:
    """Count calls of an address in the last minute; False, and not counted, when too many.

    In the database, so that every process of the door counts the same. Addresses are kept as
    hashes, and for two minutes.
    """
    key = sm3(f"rpc {second // 86_400} {caller}".encode())[:16]
    await tx.lock(int.from_bytes(key[:8], signed=True))
    # Old rows of anybody; those another process is clearing at this moment are left to it.
    await tx.execute(
        """DELETE FROM rate_hit WHERE (caller, second) IN (
               SELECT caller, second FROM rate_hit WHERE second < $1
               LIMIT 100 FOR UPDATE SKIP LOCKED)""",
        second - 2 * WINDOW_S,
    )
    tag = await tx.execute(
        """INSERT INTO rate_hit (caller, second, calls)
           SELECT $1, $2::bigint, $3::bigint
           WHERE (SELECT coalesce(sum(calls), 0) FROM rate_hit
                  WHERE caller = $1 AND second > $2::bigint - $4::bigint) + $3::bigint <= $5::bigint
           ON CONFLICT (caller, second) DO UPDATE SET calls = rate_hit.calls + excluded.calls""",
        key,
        second,
        calls,
        WINDOW_S,
        CALLS_PER_MINUTE_MAX,
    )
    return tag == "INSERT 0 1"


def _calls_in(body: bytes) -> int:
    """How many calls a body makes; whatever cannot be read counts as one."""
    try:
        asked: object = json.loads(body)
    except (ValueError, RecursionError):
        return 1
    return max(1, len(cast("list[object]", asked))) if isinstance(asked, list) else 1
