"""What OpenAPI says about a partner's endpoint and its deliveries."""

from typing import Any

from backend.kit.openapi import Refusal, refusals
from backend.notices import TYPES
from backend.partner_api.documents import (
    DURING_READS,
    OF_BODIES,
    READING_EXTRA,
    SIGNATURE_HEADERS,
    UNAUTHORIZED,
    json_answer,
)

__all__ = [
    "DELIVERY_RESPONSES",
    "LIST_RESPONSES",
    "PUT_EXTRA",
    "PUT_RESPONSES",
    "READING_EXTRA",
    "READ_RESPONSES",
    "REPLAY_EXTRA",
    "REPLAY_RESPONSES",
]

_UUID: dict[str, Any] = {"type": "string", "format": "uuid"}
_INSTANT: dict[str, Any] = {"type": "string", "format": "date-time"}
_INSTANT_OR_NULL: dict[str, Any] = {"type": ["string", "null"], "format": "date-time"}
_TYPES: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "enum": list(TYPES)},
    "uniqueItems": True,
}

_ENDPOINT_EXAMPLE: dict[str, Any] = {
    "partner_id": "metro",
    "url": "https://hooks.metro.example.cn/tanhui",
    "types": list(TYPES),
    "state": "active",
    "updated_at": "2026-11-22T04:00:00Z",
    "verified_at": "2026-11-22T04:00:01Z",
    "stopped_at": None,
    "quiet_until": None,
    "secrets": [
        {"valid_from": "2026-11-22T04:00:00Z", "valid_to": None},
        {"valid_from": "2026-10-22T04:00:00Z", "valid_to": "2026-11-23T04:00:00Z"},
    ],
}

_ENDPOINT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": sorted(_ENDPOINT_EXAMPLE),
    "properties": {
        "partner_id": {"type": "string"},
        "url": {"type": "string"},
        "types": _TYPES,
        "state": {
            "type": "string",
            "enum": ["active", "stopped"],
            "description": "Stopped by answering 410; PUT starts it again",
        },
        "updated_at": _INSTANT,
        "verified_at": {**_INSTANT_OR_NULL, "description": "When a ping was answered with 2xx"},
        "stopped_at": _INSTANT_OR_NULL,
        "quiet_until": {**_INSTANT_OR_NULL, "description": "As your Retry-After asked"},
        "secrets": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["valid_from", "valid_to"],
                "properties": {"valid_from": _INSTANT, "valid_to": _INSTANT_OR_NULL},
            },
        },
    },
}

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 — Standard Webhooks' test vector
_DELIVERY = "019ab8f0-3c00-7a10-8000-000000000007"

_DELIVERY_EXAMPLE: dict[str, Any] = {
    "delivery_id": _DELIVERY,
    "webhook_id": "msg_" + _DELIVERY.replace("-", ""),
    "type": "event.refused",
    "state": "dead",
    "told_at": "2026-11-22T04:00:00Z",
    "next_attempt_at": None,
    "tries": 10,
    "last_status": 503,
    "last_error": "status-503",
    "settled_at": "2026-11-25T07:35:05Z",
}

_DELIVERY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": sorted(_DELIVERY_EXAMPLE),
    "properties": {
        "delivery_id": _UUID,
        "webhook_id": {"type": "string", "description": "The same at every attempt and replay"},
        "type": {"type": "string"},
        "state": {"type": "string", "enum": ["waiting", "delivered", "dead"]},
        "told_at": _INSTANT,
        "next_attempt_at": _INSTANT_OR_NULL,
        "tries": {"type": "integer", "minimum": 0},
        "last_status": {"type": ["integer", "null"]},
        "last_error": {"type": ["string", "null"]},
        "settled_at": _INSTANT_OR_NULL,
    },
}

_BODY_EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "id": _DELIVERY_EXAMPLE["webhook_id"],
    "source": "/partner/v1/metro",
    "type": "event.refused",
    "time": "2026-11-22T04:00:00Z",
    "data": {
        "upload_id": "019ab8f0-3c00-7a10-8000-000000000001",
        "events": [
            {
                "event_id": "trip-20261122-000001",
                "source": "/gate",
                "evidence_id": "019ab8f0-3c00-7a10-8000-000000000002",
                "reason": "distance-too-long",
            }
        ],
    },
}

_ATTEMPT_EXAMPLE: dict[str, Any] = {
    "n": 1,
    "started_at": "2026-11-22T04:00:00Z",
    "duration_ms": 41,
    "status": 503,
    "error": "status-503",
}

_REFUSED_URLS: list[Refusal] = [
    (422, "bad-shape", "请求体须为 {url, types, rotate}"),
    (422, "endpoint-malformed", "通知地址不是合法的 URL"),
    (422, "endpoint-has-credentials", "通知地址中不得带有用户名或口令"),
    (422, "endpoint-not-https", "通知地址须以 https:// 开头"),
    (422, "endpoint-host-not-allowed", "此主机不在平台允许的通知主机之列"),
    (422, "endpoint-port-refused", "通知地址的端口须为 443 或 8443"),
    (422, "endpoint-unresolvable", "通知地址的主机名无法解析"),
    (422, "endpoint-address-refused", "通知地址指向内网、本机或保留地址,平台不予调用"),
]

_OF_KEYS: list[Refusal] = [
    (409, "idempotency-key-reused", "同一个 Idempotency-Key 已用于另一个请求。"),
    (422, "bad-idempotency-key", "Idempotency-Key 须为 1 至 255 个字符。"),
]

_KEY_HEADER: dict[str, Any] = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "description": "Same key and body: the first answer again; other body: 409",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

_UNKNOWN: Refusal = (404, "unknown-delivery", "没有这次通知")

READ_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: json_answer("Your endpoint as it stands.", _ENDPOINT_SCHEMA, _ENDPOINT_EXAMPLE),
    **refusals(*DURING_READS, (404, "no-webhook", "尚未登记通知地址,请先 PUT")),
}

PUT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: json_answer(
        "Your endpoint, the new secret (shown this once; null without rotation) and the ping"
        " (`endpoint.ping`) that is on its way.",
        {
            **_ENDPOINT_SCHEMA,
            "required": [*_ENDPOINT_SCHEMA["required"], "secret", "ping_delivery_id"],
            "properties": {
                **_ENDPOINT_SCHEMA["properties"],
                "secret": {"type": ["string", "null"]},
                "ping_delivery_id": _UUID,
            },
        },
        {
            **_ENDPOINT_EXAMPLE,
            "verified_at": None,
            "secret": _SECRET,
            "ping_delivery_id": _DELIVERY,
        },
    ),
    **refusals(*UNAUTHORIZED, *OF_BODIES, *_REFUSED_URLS, *_OF_KEYS),
}

PUT_EXTRA: dict[str, Any] = {
    "parameters": [*SIGNATURE_HEADERS, _KEY_HEADER],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["url"],
                    "additionalProperties": False,
                    "properties": {
                        "url": {
                            "type": "string",
                            "maxLength": 2048,
                            "description": (
                                "https on port 443 or 8443 of a host the platform has entered, at"
                                " public addresses only; loopback (http too) in demo and test"
                            ),
                        },
                        "types": {**_TYPES, "description": "All of them unless given"},
                        "rotate": {
                            "type": "boolean",
                            "default": True,
                            "description": "False keeps the secret that stands",
                        },
                    },
                },
                "example": {"url": _ENDPOINT_EXAMPLE["url"], "types": list(TYPES)},
            }
        },
    },
}

LIST_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: json_answer(
        "Deliveries, newest first.",
        {
            "type": "object",
            "required": ["items", "next_cursor"],
            "properties": {
                "items": {"type": "array", "items": _DELIVERY_SCHEMA},
                "next_cursor": {"type": ["string", "null"]},
            },
        },
        {"items": [_DELIVERY_EXAMPLE], "next_cursor": None},
    ),
    **refusals(*DURING_READS),
}

DELIVERY_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: json_answer(
        "The delivery, what was sent, and every attempt.",
        {
            **_DELIVERY_SCHEMA,
            "required": [*_DELIVERY_SCHEMA["required"], "body", "attempts"],
            "properties": {
                **_DELIVERY_SCHEMA["properties"],
                "body": {"type": "object"},
                "attempts": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": sorted(_ATTEMPT_EXAMPLE),
                        "properties": {
                            "n": {"type": "integer", "minimum": 1},
                            "started_at": _INSTANT,
                            "duration_ms": {"type": "integer", "minimum": 0},
                            "status": {"type": ["integer", "null"]},
                            "error": {"type": ["string", "null"]},
                        },
                    },
                },
            },
        },
        {**_DELIVERY_EXAMPLE, "body": _BODY_EXAMPLE, "attempts": [_ATTEMPT_EXAMPLE]},
    ),
    **refusals(*DURING_READS, _UNKNOWN),
}

REPLAY_RESPONSES: dict[int | str, dict[str, Any]] = {
    202: json_answer(
        "It goes out again from the start of the schedule.",
        _DELIVERY_SCHEMA,
        {
            **_DELIVERY_EXAMPLE,
            "state": "waiting",
            "next_attempt_at": "2026-11-26T04:00:00Z",
            "settled_at": None,
        },
    ),
    **refusals(
        *DURING_READS,
        _UNKNOWN,
        (409, "delivery-waiting", "这次通知仍在按计划投递,无须重放"),
        (409, "endpoint-stopped", "通知地址已停用;请先以 PUT …/webhook 重新登记"),
        *_OF_KEYS,
    ),
}

REPLAY_EXTRA: dict[str, Any] = {"parameters": [*SIGNATURE_HEADERS, _KEY_HEADER]}
