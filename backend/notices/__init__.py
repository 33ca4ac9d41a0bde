"""Notices 通知: what partners are told, signed, and sent until it arrives or is given up."""

from backend.notices.telling import PING, TYPES, Notice, NoticeType, listeners, tell, tell_many

__all__ = ["PING", "TYPES", "Notice", "NoticeType", "listeners", "tell", "tell_many"]
