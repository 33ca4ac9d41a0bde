"""Citizens: who they are to us, their accounts on chain, what they consented to, their logins."""

from backend.citizens import answers, logins, providers
from backend.citizens.accounts import account_of_secret, accounts_of
from backend.citizens.bindings import BindingCode, exchange_code, new_binding_code, subjects_of
from backend.citizens.consents import (
    Consent,
    consents_of,
    consents_of_citizen,
    give_consent,
    lock_consents,
    standing_since,
    withdraw_consent,
)
from backend.citizens.people import create_or_get, find

__all__ = [
    "BindingCode",
    "Consent",
    "account_of_secret",
    "accounts_of",
    "answers",
    "consents_of",
    "consents_of_citizen",
    "create_or_get",
    "exchange_code",
    "find",
    "give_consent",
    "lock_consents",
    "logins",
    "new_binding_code",
    "providers",
    "standing_since",
    "subjects_of",
    "withdraw_consent",
]
