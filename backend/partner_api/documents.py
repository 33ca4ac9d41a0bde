"""What OpenAPI says about this door: its requests and answers with examples, and every refusal."""

from typing import Any

from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.partner_api.bodies import CONTENT_TYPES

_EVENT_EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "trip-20261122-000001",
    "source": "/gate",
    "type": "transit.metro.trip",
    "time": "2026-11-22T08:00:00+08:00",
    "subject": "q3D0cX0cYb2m8kq1n0Qe7dDgWb4y5Jm0u1H2s3T4v5w",
    "data": {"distance_m": 12000},
}

_EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": (
        "CloudEvents 1.0 JSON. `time` is the instant the activity ended; `subject` is the binding"
        " token; `data` follows the JSON Schema at /public/v1/scenarios/{type}."
    ),
    "required": ["specversion", "id", "source", "type", "time", "subject", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 512},
        "source": {"type": "string", "minLength": 1, "maxLength": 1024},
        "type": {"type": "string", "minLength": 1, "maxLength": 128},
        "time": {"type": "string", "minLength": 20, "maxLength": 64},
        "originaltime": {"type": "string", "minLength": 20, "maxLength": 64},
        "subject": {"type": "string", "minLength": 1, "maxLength": 1024},
        "data": {"type": "object"},
    },
    "additionalProperties": True,
}

_STATE: dict[str, Any] = {
    "type": "string",
    "enum": [
        "recorded",
        "refused",
        "applied",
        "awarded",
        "logged",
        "confirmed",
        "posted",
        "refused_by_chain",
        "reversed",
    ],
}

_UUID: dict[str, Any] = {"type": "string", "format": "uuid"}

_ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["upload_id", "accepted", "duplicates", "rejected", "events"],
    "properties": {
        "upload_id": _UUID,
        "accepted": {"type": "integer", "minimum": 0},
        "duplicates": {"type": "integer", "minimum": 0},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "event_id", "problem"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "event_id": {"type": ["string", "null"]},
                    "problem": {"type": "string"},
                },
            },
        },
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["event_id", "evidence_id", "state"],
                "properties": {
                    "event_id": {"type": "string"},
                    "evidence_id": _UUID,
                    "state": _STATE,
                },
            },
        },
    },
}

_ANSWER_EXAMPLE: dict[str, Any] = {
    "upload_id": "019ab8f0-3c00-7a10-8000-000000000001",
    "accepted": 1,
    "duplicates": 0,
    "rejected": [{"index": 1, "event_id": "trip-20261122-000002", "problem": "time-in-future"}],
    "events": [
        {
            "event_id": "trip-20261122-000001",
            "evidence_id": "019ab8f0-3c00-7a10-8000-000000000002",
            "state": "recorded",
        }
    ],
}

_UPLOAD_SCHEMA: dict[str, Any] = {
    **_ANSWER_SCHEMA,
    "required": [*_ANSWER_SCHEMA["required"], "webhook_id", "received_at", "event_count"],
    "properties": {
        **_ANSWER_SCHEMA["properties"],
        "events": {
            "type": "array",
            "items": {
                **_ANSWER_SCHEMA["properties"]["events"]["items"],
                "required": ["event_id", "evidence_id", "state", "reason", "duplicate"],
                "properties": {
                    **_ANSWER_SCHEMA["properties"]["events"]["items"]["properties"],
                    "reason": {"type": ["string", "null"], "description": "Why it was refused"},
                    "duplicate": {
                        "type": "boolean",
                        "description": "Recorded by an earlier upload",
                    },
                },
            },
        },
        "webhook_id": {"type": "string"},
        "received_at": {"type": "string", "format": "date-time"},
        "event_count": {"type": "integer", "minimum": 0},
    },
}

_STATUS_EXAMPLE: dict[str, Any] = {
    "event_id": "trip-20261122-000001",
    "source": "/gate",
    "evidence_id": "019ab8f0-3c00-7a10-8000-000000000002",
    "upload_id": "019ab8f0-3c00-7a10-8000-000000000001",
    "type": "transit.metro.trip",
    "time": "2026-11-22T08:00:00+08:00",
    "originaltime": None,
    "city_day": "2026-11-22",
    "event_digest": "a0203afdd8fe258b80397b2f044bcdac42d435a2193e81a9668f4291bf47418d",
    "origin": "signed-upload",
    "evidence_level": "L3",
    "recorded_at": "2026-11-22T00:00:03Z",
    "state": "awarded",
    "reason": None,
    "reduction_mg": 2525448,
    "stands_instead": None,
}

_STATUS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": sorted(_STATUS_EXAMPLE),
    "properties": {
        **{name: {"type": "string"} for name in _STATUS_EXAMPLE},
        "evidence_id": _UUID,
        "upload_id": _UUID,
        "city_day": {"type": "string", "format": "date"},
        "recorded_at": {"type": "string", "format": "date-time"},
        "originaltime": {"type": ["string", "null"]},
        "state": _STATE,
        "reason": {"type": ["string", "null"]},
        "reduction_mg": {"type": ["integer", "null"]},
        "stands_instead": {
            "type": ["object", "null"],
            "description": "What counts where this was corrected, retracted or contradicted",
            "required": ["event_id", "evidence_id", "partner_id"],
            "properties": {
                "evidence_id": {"type": "string", "format": "uuid"},
                "partner_id": {"type": "string"},
                "event_id": {"type": "string"},
            },
        },
    },
}

SIGNATURE_HEADERS: list[dict[str, Any]] = [
    {
        "name": "webhook-id",
        "in": "header",
        "required": True,
        "description": "Names this request; sent again, it gets the same answer.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[!-~]+$"},
        "example": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
    },
    {
        "name": "webhook-timestamp",
        "in": "header",
        "required": True,
        "description": "Unix seconds, within 5 minutes of the platform's clock.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,12}$"},
        "example": "1795305600",
    },
    {
        "name": "webhook-signature",
        "in": "header",
        "required": True,
        "description": (
            "List of `v1,` (HMAC-SHA256), `v1sm,` (HMAC-SM3) or `v1s2,` (SM2 with SM3) followed"
            " by base64, separated by spaces; over the body as sent. A GET signs an empty body."
        ),
        "schema": {"type": "string", "minLength": 1},
        "example": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
]

UNAUTHORIZED: list[Refusal] = [
    (401, "unknown-partner", "没有登记此合作平台"),
    (401, "missing-signature", "请求缺少 webhook-id、webhook-timestamp 或 webhook-signature"),
    (401, "bad-signature-headers", "webhook-id 或 webhook-timestamp 的写法不合规定"),
    (401, "timestamp-out-of-window", "时间戳与平台时间相差超过 5 分钟"),
    (401, "weak-signature", "列表中只有比规定更弱的签名"),
    (401, "bad-signature", "签名与请求内容不符"),
]

OF_BODIES: list[Refusal] = [
    (408, "body-too-slow", "请求体未能在 30 秒内收齐"),
    (413, "body-too-large", "请求体(解压后)不得超过 4 MiB,请分批上报"),
    (415, "unsupported-content-type", "Content-Type 不在接受之列"),
    (415, "unsupported-content-encoding", "Content-Encoding 只接受 gzip"),
    (429, "too-many-requests", "平台正忙,请稍后以同一 webhook-id 重试"),
]

DURING_READS: list[Refusal] = [
    *UNAUTHORIZED,
    (408, "body-too-slow", "连接已断开"),
    (413, "body-too-large", "GET 请求不带请求体"),
    BAD_SHAPE,
]


def json_answer(description: str, schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """A JSON answer of a route, as OpenAPI describes it."""
    return {
        "description": description,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


EVENTS_RESPONSES: dict[int | str, dict[str, Any]] = {
    202: json_answer(
        "The accepted events are durable. Events rejected for themselves are listed with the"
        " reason; they do not spoil the others.",
        _ANSWER_SCHEMA,
        _ANSWER_EXAMPLE,
    ),
    **refusals(
        *UNAUTHORIZED,
        *OF_BODIES,
        (409, "webhook-id-conflict", "该 webhook-id 已用于另一请求体"),
        (413, "too-many-events", "一次最多 2000 条事件,请分批上报"),
        (422, "not-json", "请求体不是合法的 JSON"),
        (422, "bad-gzip", "请求体不是完整的 gzip 数据"),
        (503, "recording-busy", "同一批事件正在被多个请求同时上报,请稍后重试"),
    ),
}

EVENTS_EXTRA: dict[str, Any] = {
    "parameters": [
        *SIGNATURE_HEADERS,
        {
            "name": "content-encoding",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "enum": ["gzip", "identity"]},
        },
    ],
    "requestBody": {
        "required": True,
        "description": "One event or an array of up to 2,000; 4 MiB after inflation.",
        "content": {
            CONTENT_TYPES[0]: {"schema": _EVENT_SCHEMA, "example": _EVENT_EXAMPLE},
            CONTENT_TYPES[1]: {
                "schema": {"type": "array", "items": _EVENT_SCHEMA, "maxItems": 2000},
                "example": [_EVENT_EXAMPLE],
            },
            CONTENT_TYPES[2]: {
                "schema": {
                    "oneOf": [
                        _EVENT_SCHEMA,
                        {"type": "array", "items": _EVENT_SCHEMA, "maxItems": 2000},
                    ]
                },
                "example": [_EVENT_EXAMPLE],
            },
        },
    },
}

BINDINGS_RESPONSES: dict[int | str, dict[str, Any]] = {
    201: json_answer(
        "The token by which this partner reports this user from now on.",
        {
            "type": "object",
            "required": ["binding_token"],
            "properties": {"binding_token": {"type": "string"}},
        },
        {"binding_token": _EVENT_EXAMPLE["subject"]},
    ),
    **refusals(
        *UNAUTHORIZED,
        *OF_BODIES,
        (404, "unknown-code", "没有这个绑定码,请让市民重新获取"),
        (409, "user-ref-bound", "这个用户标识已绑定另一位市民"),
        (410, "code-spent", "绑定码已经使用、已过期或授权已撤回"),
        (422, "bad-shape", "请求体须为 {code, user_ref},均为非空字符串"),
    ),
}

BINDINGS_EXTRA: dict[str, Any] = {
    "parameters": SIGNATURE_HEADERS,
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["code", "user_ref"],
                    "additionalProperties": False,
                    "properties": {
                        "code": {"type": "string", "minLength": 1, "maxLength": 256},
                        "user_ref": {"type": "string", "minLength": 1, "maxLength": 256},
                    },
                },
                "example": {"code": "5Jm0u1H2s3T4v5wq3D0cXw", "user_ref": "user-8841"},
            }
        },
    },
}

EVENT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: json_answer("What became of the event so far.", _STATUS_SCHEMA, _STATUS_EXAMPLE),
    **refusals(
        *DURING_READS,
        (404, "unknown-event", "没有这条事件"),
        (409, "source-needed", "同一 id 有多个来源,请在查询参数中给出 source"),
    ),
}

UPLOAD_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: json_answer(
        "The answer that was given, with the present state of each event.",
        _UPLOAD_SCHEMA,
        {
            **_ANSWER_EXAMPLE,
            "events": [
                {**event, "reason": None, "duplicate": False} for event in _ANSWER_EXAMPLE["events"]
            ],
            "webhook_id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
            "received_at": "2026-11-22T00:00:03Z",
            "event_count": 2,
        },
    ),
    **refusals(*DURING_READS, (404, "unknown-upload", "没有这次上报")),
}

READING_EXTRA: dict[str, Any] = {"parameters": SIGNATURE_HEADERS}
