"""Officials: who holds which role, how they sign in and sign, and what they did."""

from backend.officials import access, audit, life, requests, roles
from backend.officials.access import Session
from backend.officials.audit import note
from backend.officials.keyfiles import KeyFile, read_key_file, refuse_demo_keys, write_key_file
from backend.officials.roles import may, refuse_unless_may
from backend.officials.service import (
    Official,
    add_key,
    end_key,
    find,
    keep_keystore,
    keystore_of,
    listed,
    register,
    seal_keystore,
)

__all__ = [
    "KeyFile",
    "Official",
    "Session",
    "access",
    "add_key",
    "audit",
    "end_key",
    "find",
    "keep_keystore",
    "keystore_of",
    "life",
    "listed",
    "may",
    "note",
    "read_key_file",
    "refuse_demo_keys",
    "refuse_unless_may",
    "register",
    "requests",
    "roles",
    "seal_keystore",
    "write_key_file",
]
