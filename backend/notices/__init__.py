"""Notices 通知: what partners are told, signed, and sent until it arrives or is given up."""

from backend.notices.addresses import EndpointRefused, Policy, judge
from backend.notices.deliveries import (
    Claimed,
    DeliveryState,
    claim,
    list_deliveries,
    read_delivery,
    release,
    replay,
    settle,
)
from backend.notices.endpoints import (
    Endpoint,
    Entered,
    put_endpoint,
    read_endpoint,
    signing_secrets,
)
from backend.notices.schedule import SCHEDULE_S, Outcome
from backend.notices.sending import Caller
from backend.notices.signing import signed_headers
from backend.notices.telling import (
    PING,
    TYPES,
    Notice,
    NoticeType,
    listeners,
    message_id,
    tell,
    tell_many,
)

__all__ = [
    "PING",
    "SCHEDULE_S",
    "TYPES",
    "Caller",
    "Claimed",
    "DeliveryState",
    "Endpoint",
    "EndpointRefused",
    "Entered",
    "Notice",
    "NoticeType",
    "Outcome",
    "Policy",
    "claim",
    "judge",
    "list_deliveries",
    "listeners",
    "message_id",
    "put_endpoint",
    "read_delivery",
    "read_endpoint",
    "release",
    "replay",
    "settle",
    "signed_headers",
    "signing_secrets",
    "tell",
    "tell_many",
]
