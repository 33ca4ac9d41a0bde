"""Partners 合作平台: who may report, with which keys, and whether a request is really theirs."""

from backend.partners.service import (
    PublicKey,
    add_key,
    end_keys,
    load_partner,
    new_webhook_secret,
    public_keys,
    register_partner,
)
from backend.partners.signatures import (
    Partner,
    Scheme,
    SignedRequest,
    sign_content,
    verify_request,
)

__all__ = [
    "Partner",
    "PublicKey",
    "Scheme",
    "SignedRequest",
    "add_key",
    "end_keys",
    "load_partner",
    "new_webhook_secret",
    "public_keys",
    "register_partner",
    "sign_content",
    "verify_request",
]
