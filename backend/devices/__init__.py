"""Devices 设备: gates and sensors with keys of their own, bound to one purpose and place."""

from backend.devices.service import (
    Device,
    Purpose,
    check_signed,
    devices_at,
    find_device,
    register_device,
    revoke_device,
    signed_text,
)

__all__ = [
    "Device",
    "Purpose",
    "check_signed",
    "devices_at",
    "find_device",
    "register_device",
    "revoke_device",
    "signed_text",
]
