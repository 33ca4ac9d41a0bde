"""Officials: who may approve rules and methods, and by which address."""

from backend.officials.keyfiles import KeyFile, read_key_file, refuse_demo_keys, write_key_file
from backend.officials.service import Official, find, listed, register

__all__ = [
    "KeyFile",
    "Official",
    "find",
    "listed",
    "read_key_file",
    "refuse_demo_keys",
    "register",
    "write_key_file",
]
