"""What OpenAPI says about the routes of daily statements."""

from typing import Any

from backend.kit.openapi import Refusal, refusals
from backend.partner_api.documents import (
    DURING_READS,
    OF_BODIES,
    READING_EXTRA,
    SIGNATURE_HEADERS,
    UNAUTHORIZED,
    json_answer,
)

__all__ = [
    "COSIGNATURE_EXTRA",
    "COSIGNATURE_RESPONSES",
    "DIGESTS_RESPONSES",
    "READING_EXTRA",
    "STATEMENT_RESPONSES",
]

_ROOT = "3f9b1b3c1c1e6a7f0d9d2e0c5b8a4f6e7d8c9b0a1f2e3d4c5b6a79880716253f"
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_POINTS: dict[str, Any] = {
    "type": "object",
    "description": "Whole points by class",
    "additionalProperties": _COUNT,
}
_DIGEST: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}

_COSIGNATURE_MEMBERS: dict[str, Any] = {
    "key_id": {"type": "string"},
    "signature": {"type": "string", "description": "base64 of the DER signature"},
    "cosigned_at": {"type": "string", "format": "date-time"},
}
_COSIGNATURE_EXAMPLE: dict[str, Any] = {
    "key_id": "statement-2026",
    "signature": "MEUCIQDx…",
    "cosigned_at": "2026-11-21T16:30:00Z",
}

_STATEMENT_EXAMPLE: dict[str, Any] = {
    "partner_id": "metro",
    "day": "2026-11-21",
    "count": 3,
    "root": _ROOT,
    "text": f"tanhui-statement-v1\nmetro\n2026-11-21\n3\n{_ROOT}\n",
    "reduction_mg": 5050896,
    "points": {"carbon": 50},
    "sums": [
        {
            "scenario": "transit.metro.trip",
            "state": "awarded",
            "count": 2,
            "reduction_mg": 5050896,
            "points": {"carbon": 50},
        },
        {
            "scenario": "transit.metro.trip",
            "state": "refused",
            "count": 1,
            "reduction_mg": 0,
            "points": {},
        },
    ],
    "cosignature": _COSIGNATURE_EXAMPLE,
}

_STATEMENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": sorted(_STATEMENT_EXAMPLE),
    "properties": {
        "partner_id": {"type": "string"},
        "day": {"type": "string", "format": "date"},
        "count": _COUNT,
        "root": _DIGEST,
        "text": {"type": "string", "description": "What is co-signed (formats.md §14)"},
        "reduction_mg": {**_COUNT, "description": "Of the events in state awarded"},
        "points": _POINTS,
        "sums": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["scenario", "state", "count", "reduction_mg", "points"],
                "properties": {
                    "scenario": {"type": "string"},
                    "state": {
                        "type": "string",
                        "enum": ["recorded", "refused", "awarded", "applied", "reversed"],
                        "description": "As of now; awarded includes what follows an award",
                    },
                    "count": _COUNT,
                    "reduction_mg": _COUNT,
                    "points": _POINTS,
                },
            },
        },
        "cosignature": {
            "type": ["object", "null"],
            "required": sorted(_COSIGNATURE_MEMBERS),
            "properties": _COSIGNATURE_MEMBERS,
        },
    },
}

_OF_DAYS: list[Refusal] = [
    (409, "day-not-over", "这一天在本市尚未结束,对账单于次日零时起提供"),
    (422, "bad-shape", "日期须写作 YYYY-MM-DD,年份 2000 至 2099"),
    (429, "too-many-requests", "平台正忙,请稍后重试"),
]

STATEMENT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: json_answer(
        "Count and root never change; sums and co-signature are those of now.",
        _STATEMENT_SCHEMA,
        _STATEMENT_EXAMPLE,
    ),
    **refusals(*DURING_READS, *_OF_DAYS),
}

DIGESTS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: json_answer(
        "Event digests in ascending order: the leaves under the statement's root.",
        {
            "type": "object",
            "required": ["items", "next_cursor"],
            "properties": {
                "items": {"type": "array", "items": _DIGEST},
                "next_cursor": {"type": ["string", "null"]},
            },
        },
        {
            "items": ["a0203afdd8fe258b80397b2f044bcdac42d435a2193e81a9668f4291bf47418d"],
            "next_cursor": None,
        },
    ),
    **refusals(*DURING_READS, *_OF_DAYS),
}

COSIGNATURE_RESPONSES: dict[int | str, dict[str, Any]] = {
    201: json_answer(
        "The co-signature that stands: the first valid one. Sent again, nothing changes.",
        {
            "type": "object",
            "required": ["partner_id", "day", *sorted(_COSIGNATURE_MEMBERS)],
            "properties": {
                "partner_id": {"type": "string"},
                "day": {"type": "string", "format": "date"},
                **_COSIGNATURE_MEMBERS,
            },
        },
        {"partner_id": "metro", "day": "2026-11-21", **_COSIGNATURE_EXAMPLE},
    ),
    **refusals(
        *UNAUTHORIZED,
        *OF_BODIES,
        *_OF_DAYS,
        (409, "no-statement-key", "该日没有有效的对账单密钥"),
        (422, "bad-cosignature", "签名与本平台的对账单不符"),
    ),
}

COSIGNATURE_EXTRA: dict[str, Any] = {
    "parameters": SIGNATURE_HEADERS,
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["signature"],
                    "additionalProperties": False,
                    "properties": {
                        "signature": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 256,
                            "description": (
                                "base64 of the DER signature, SM2 with SM3 by a key of purpose"
                                " statement valid that day, over the statement's `text`"
                            ),
                        }
                    },
                },
                "example": {"signature": "MEUCIQDx…"},
            }
        },
    },
}
