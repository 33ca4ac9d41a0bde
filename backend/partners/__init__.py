"""Partners 合作平台: who may report, with which keys, and whether a request is really theirs."""

from backend.partners.service import (
    KeyEntry,
    PublicKey,
    add_key,
    end_key,
    end_keys,
    key_history,
    load_partner,
    new_webhook_secret,
    public_keys,
    register_partner,
    statement_keys,
)
from backend.partners.signatures import (
    Partner,
    Purpose,
    Scheme,
    SignedRequest,
    sign_content,
    verify_request,
)

__all__ = [
    "KeyEntry",
    "Partner",
    "PublicKey",
    "Purpose",
    "Scheme",
    "SignedRequest",
    "add_key",
    "end_key",
    "end_keys",
    "key_history",
    "load_partner",
    "new_webhook_secret",
    "public_keys",
    "register_partner",
    "sign_content",
    "statement_keys",
    "verify_request",
]
