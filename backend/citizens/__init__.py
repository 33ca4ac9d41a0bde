"""Citizens: who they are to us, their accounts on chain, what they consented to, their logins."""

from backend.citizens import (
    access,
    answers,
    consent_text,
    identities,
    logins,
    notice_words,
    notices,
    providers,
    shares,
)
from backend.citizens.accounts import account_of_secret, accounts_of
from backend.citizens.bindings import (
    BindingCode,
    Reporter,
    exchange_code,
    new_binding_code,
    reporters_of,
)
from backend.citizens.consents import (
    Consent,
    consents_of_citizen,
    give_consent,
    lock_consents,
    standing_consents,
    standing_since,
    withdraw_consent,
)
from backend.citizens.people import create_or_get, find, provider_of
from backend.citizens.sign_in import providers_of

__all__ = [
    "BindingCode",
    "Consent",
    "Reporter",
    "access",
    "account_of_secret",
    "accounts_of",
    "answers",
    "consent_text",
    "consents_of_citizen",
    "create_or_get",
    "exchange_code",
    "find",
    "give_consent",
    "identities",
    "lock_consents",
    "logins",
    "new_binding_code",
    "notice_words",
    "notices",
    "provider_of",
    "providers",
    "providers_of",
    "reporters_of",
    "shares",
    "standing_consents",
    "standing_since",
    "withdraw_consent",
]
