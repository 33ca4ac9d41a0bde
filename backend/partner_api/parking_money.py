"""A party's routes: statements to check and sign, objections, refunds; and a rail's notices."""

import base64
import re
from datetime import date
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request

from backend.flows.cosign_settlement import (
    PartyDay,
    Which,
    cosign_settlement,
    dispute_line,
    read_statement,
    resolve_dispute,
)
from backend.flows.park_stay import operators_order
from backend.flows.pay_stay import receive_notices
from backend.flows.reconcile_parking import compare_file
from backend.flows.refund_stay import refund_stay
from backend.kit import canonical
from backend.kit.clock import to_text
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.parking import assets
from backend.partner_api.gate import Gate
from backend.partner_api.operations import Operation, add_operation, in_path, read_body
from backend.partner_api.parking_routes import decode_base64
from backend.partner_api.signed import Signed
from backend.payments import SandboxRail, limits_of, notices, settling

_DAY = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", re.ASCII)

UNKNOWN_STATEMENT: Refusal = (404, "unknown-statement", "没有这份对账单。")
Sentence = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class CosignBody(msgspec.Struct, forbid_unknown_fields=True):
    """The DER signature over the statement's text, base64."""

    signature: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class DisputeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which line, by its `source`, and what is wrong with it."""

    source: UUID
    reason: Sentence


class ResolveBody(msgspec.Struct, forbid_unknown_fields=True):
    """What came of an objection."""

    resolution: Sentence


class RefundBody(msgspec.Struct, forbid_unknown_fields=True):
    """How much of which order goes back; `refund_id` is the caller's own, for sending again."""

    refund_id: UUID
    order_id: UUID
    amount_fen: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
    reason: Sentence


class FileBody(msgspec.Struct, forbid_unknown_fields=True):
    """The text of a CSV file with the columns `order` and `amount_fen`."""

    csv: Annotated[str, msgspec.Meta(max_length=4_000_000)]


def add_parking_money(router: APIRouter, services: Services, gate: Gate) -> None:
    """The routes under `/parking/statements`, `/disputes`, `/refunds` and `/notices`."""
    party = _Party(services)
    for operation, handler in (
        (LIST_STATEMENTS, party.list_statements),
        (GET_STATEMENT, party.get_statement),
        (POST_COSIGNATURE, party.post_cosignature),
        (POST_DISPUTE, party.post_dispute),
        (POST_RESOLUTION, party.post_resolution),
        (POST_REFUND, party.post_refund),
        (POST_NOTICES, party.post_notices),
        (POST_FILE, party.post_file),
    ):
        add_operation(router, services, gate, operation, handler)


class _Party:
    """What a party may do; a partner speaks for the parties entered under its id."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list_statements(self, signed: Signed, request: Request) -> Any:
        """The day's statements of all parties of this partner."""
        day = _day(in_path(request, "day"))
        async with self._services.db.transaction(readonly=True) as tx:
            mine = await assets.parties_of_partner(tx, signed.partner.partner_id)
            rows = await settling.statements_on(tx, day, [party.party_id for party in mine])
            names = await assets.lots(tx, {row["lot_no"] for row in rows})
        return {
            "items": [
                {
                    "lot": names[row["lot_no"]].lot_id,
                    "day": day.isoformat(),
                    "part": row["part"],
                    "party": row["party_id"],
                    "count": row["count"],
                    "total_fen": row["total_fen"],
                    "root": row["root"].hex(),
                    "cosigned": row["cosigned"],
                }
                for row in rows
            ]
        }

    async def get_statement(self, signed: Signed, request: Request) -> Any:
        """A statement as a file: lines, contracts and root, canonical JSON."""
        which = await self._which(signed, request)
        async with self._services.db.transaction(readonly=True) as tx:
            return statement_file(await read_statement(tx, which))

    async def post_cosignature(self, signed: Signed, request: Request) -> Any:
        """Keep your SM2 signature over the statement's text."""
        which = await self._which(signed, request)
        kept = await cosign_settlement(
            self._services.db,
            self._services.settings.city_tz,
            which,
            decode_base64(read_body(signed, CosignBody).signature),
            self._services.clock.now(),
        )
        return {"key_id": kept["key_id"], "cosigned_at": to_text(kept["cosigned_at"])}

    async def post_dispute(self, signed: Signed, request: Request) -> Any:
        """Object to one line, before you sign."""
        which = await self._which(signed, request)
        body = read_body(signed, DisputeBody)
        dispute_id = await dispute_line(
            self._services.db, which, body.source, body.reason, self._services.clock.now()
        )
        return {"dispute_id": str(dispute_id)}

    async def post_resolution(self, signed: Signed, request: Request) -> Any:
        """Answer an objection at one of your lots."""
        dispute_id = _uuid(in_path(request, "dispute_id"), "unknown-dispute", "没有这项异议。")
        await resolve_dispute(
            self._services.db,
            signed.partner.partner_id,
            dispute_id,
            read_body(signed, ResolveBody).resolution,
            self._services.clock.now(),
        )
        return {"dispute_id": str(dispute_id)}

    async def post_refund(self, signed: Signed, request: Request) -> Any:
        """Give money back for a stay at one of your lots."""
        del request
        services, body = self._services, read_body(signed, RefundBody)
        async with services.db.transaction(readonly=True) as tx:
            await operators_order(tx, signed.partner.partner_id, body.order_id)
        done = await refund_stay(
            services.db,
            SandboxRail(),
            body.order_id,
            body.amount_fen,
            body.reason,
            city_tz=services.settings.city_tz,
            now=services.clock.now(),
            refund_id=body.refund_id,
        )
        return done._asdict() | {"refund_id": str(done.refund_id)}

    async def post_notices(self, signed: Signed, request: Request) -> Any:
        """A rail says what was paid; it signs as the partner whose id it has."""
        del request
        services, rail_id = self._services, signed.partner.partner_id
        if limits_of(rail_id) is None:
            raise Problem(403, "not-a-rail", "该合作平台不是支付渠道。", partner_id=rail_id)
        told = notices.read_notices(signed.sent)
        async with services.db.transaction() as tx:
            received = await receive_notices(tx, rail_id, told, services.clock.now())
        return {
            "notices": [
                {"notice_id": one.notice.notice_id, "outcome": one.outcome} for one in received
            ]
        }

    async def post_file(self, signed: Signed, request: Request) -> Any:
        """Hand in your list of a day; every order gets an outcome."""
        services, own_id = self._services, signed.partner.partner_id
        made = await compare_file(
            services.db,
            "operator" if limits_of(own_id) is None else "rail",
            own_id,
            _day(in_path(request, "day")),
            read_body(signed, FileBody).csv.encode(),
            city_tz=services.settings.city_tz,
            now=services.clock.now(),
        )
        return {
            "file_id": str(made.file_id),
            "good_rows": made.good_rows,
            "bad_rows": [{"line": each.line, "reason": each.reason} for each in made.bad],
            "counts": dict(made.counts),
            "ours_fen": made.ours_fen,
            "theirs_fen": made.theirs_fen,
        }

    async def _which(self, signed: Signed, request: Request) -> Which:
        party_id, part = in_path(request, "party"), in_path(request, "part")
        if not part.isdecimal() or len(part) > 4:
            raise Problem(*UNKNOWN_STATEMENT)
        async with self._services.db.transaction(readonly=True) as tx:
            mine = await assets.parties_of_partner(tx, signed.partner.partner_id)
        if party_id not in {party.party_id for party in mine}:
            raise Problem(*UNKNOWN_STATEMENT)
        return Which(party_id, in_path(request, "lot_id"), _day(in_path(request, "day")), int(part))


def statement_file(stated: PartyDay) -> bytes:
    """A statement as `tanhui parking check` reads it: everything its root follows from."""
    signed = stated.cosignature
    return canonical.dumps(
        {
            "format": "tanhui-parking-statement-v1",
            "lot": stated.key.lot_id,
            "day": stated.key.day.isoformat(),
            "part": stated.key.part,
            "party": stated.key.party_id,
            "account": stated.account.hex(),
            "count": stated.count,
            "total_fen": stated.total_fen,
            "root": stated.root.hex(),
            "lines": [line.document(stated.key) for line in stated.lines],
            "contracts": [canonical.loads_strict(each) for each in stated.contracts],
            "tx": None if stated.tx_hash is None else "0x" + stated.tx_hash.hex(),
            "cosignature": None
            if signed is None
            else {
                "key_id": signed["key_id"],
                "signature": base64.b64encode(signed["signature"]).decode(),
            },
        }
    )


def _day(text: str) -> date:
    try:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError:
        raise Problem(422, "bad-shape", "日期须写作 YYYY-MM-DD,年份 2000 至 2099") from None


def _uuid(text: str, name: str, detail: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem(404, name, detail) from None


_ID = "019ab8f0-3c00-7a10-8000-000000000001"
_STATEMENT = "/parking/lots/{lot_id}/statements/{day}/{part}/{party}"

LIST_STATEMENTS = Operation(
    "GET", "/parking/statements/{day}", "Statements of a day", {"items": []}
)
GET_STATEMENT = Operation(
    "GET",
    _STATEMENT,
    "A statement with its lines",
    {"format": "tanhui-parking-statement-v1", "lot": "plaza", "day": "2026-11-21", "part": 0},
    refusals=(UNKNOWN_STATEMENT, (404, "unknown-lot", "没有这个停车场。")),
)
POST_COSIGNATURE = Operation(
    "POST",
    f"{_STATEMENT}/cosignature",
    "Co-sign a statement",
    {"key_id": "statement-2026", "cosigned_at": "2026-11-22T01:00:00Z"},
    CosignBody,
    {"signature": "MEUCIQDx…"},
    (
        UNKNOWN_STATEMENT,
        (409, "no-statement-key", "该日没有有效的对账单密钥,请先登记。"),
        (409, "statement-disputed", "该对账单有异议尚未处理,处理后再签署。"),
        (422, "bad-cosignature", "签名与本平台的对账单不符。"),
    ),
    status=201,
)
POST_DISPUTE = Operation(
    "POST",
    f"{_STATEMENT}/disputes",
    "Object to a line",
    {"dispute_id": _ID},
    DisputeBody,
    {"source": _ID, "reason": "此单已全额退款"},
    (
        UNKNOWN_STATEMENT,
        (404, "unknown-line", "该对账单没有这一行。"),
        (409, "statement-signed", "该对账单已签署,不能再对其明细提出异议。"),
        (409, "line-disputed", "这一行已提出过异议。"),
    ),
    status=201,
)
POST_RESOLUTION = Operation(
    "POST",
    "/parking/disputes/{dispute_id}/resolution",
    "Answer an objection",
    {"dispute_id": _ID},
    ResolveBody,
    {"resolution": "核对无误"},
    (
        (404, "unknown-dispute", "没有这项异议。"),
        (409, "dispute-resolved", "这项异议已处理。"),
    ),
)
POST_REFUND = Operation(
    "POST",
    "/parking/refunds",
    "Refund a stay",
    {
        "refund_id": _ID,
        "amount_fen": 400,
        "frozen_fen": 400,
        "returned_fen": 0,
        "debt_fen": 0,
    },
    RefundBody,
    {"refund_id": _ID, "order_id": _ID, "amount_fen": 400, "reason": "重复计费"},
    (
        (404, "unknown-order", "没有这笔停车费。"),
        (409, "not-paid", "这笔停车费尚未支付。"),
        (409, "refund-exceeds-payment", "退款超出已付金额。"),
        (409, "refund-too-late", "支付已超过一年,渠道不再受理退款。"),
        (409, "refund-conflict", "同一退款编号已用于另一笔退款。"),
        (409, "refund-refused", "支付渠道拒绝退款。"),
    ),
    status=201,
)
POST_NOTICES = Operation(
    "POST",
    "/parking/notices",
    "A rail's notices",
    {"notices": [{"notice_id": "n-1", "outcome": "paid"}]},
    raw="application/json",
    example=[
        {
            "notice_id": "n-1",
            "kind": "paid",
            "order_id": _ID,
            "rail_ref": "42000001",
            "amount_fen": 1_000,
            "paid_at": "2026-11-22T10:45:30+08:00",
        }
    ],
    refusals=(
        (403, "not-a-rail", "该合作平台不是支付渠道。"),
        (422, "bad-notice", "支付通知的内容不合规定。"),
    ),
    bytes_max=1_048_576,
)
POST_FILE = Operation(
    "POST",
    "/parking/files/{day}",
    "Reconcile a day's file",
    {
        "file_id": _ID,
        "good_rows": 2,
        "bad_rows": [{"line": 4, "reason": "bad-amount"}],
        "counts": {"match": 1, "ours-only": 0, "theirs-only": 0, "differs": 1},
        "ours_fen": 2_200,
        "theirs_fen": 2_100,
    },
    FileBody,
    {"csv": "order,amount_fen\n019ab8f0-3c00-7a10-8000-000000000001,1200\n"},
    refusals=((422, "bad-file", "对账文件须为 UTF-8 编码的 CSV,有 order 与 amount_fen 两列。"),),
    bytes_max=4_194_304,
)
