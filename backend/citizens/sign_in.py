"""Which sign-in providers an installation has, by its settings."""

from backend.citizens.alipay import Alipay
from backend.citizens.providers import Provider, Sandbox, WeChat
from backend.kit.clock import Clock
from backend.kit.settings import Settings


def providers_of(settings: Settings, clock: Clock) -> dict[str, Provider]:
    """Providers by name; the sandbox is among them except in production.

    Raises FileNotFoundError when Alipay's app id is set and its keys are not there.
    """
    found: dict[str, Provider] = {}
    if settings.profile != "production":
        found["sandbox"] = Sandbox()
    if settings.wechat_app_id is not None and settings.wechat_secret is not None:
        found["wechat"] = WeChat(
            settings.wechat_url, settings.wechat_app_id, settings.wechat_secret
        )
    if settings.alipay_app_id is not None:
        found["alipay"] = Alipay(
            settings.alipay_gateway,
            settings.alipay_app_id,
            (settings.keys_dir / "alipay-app.pem").read_bytes(),
            (settings.keys_dir / "alipay-public.pem").read_bytes(),
            clock,
        )
    return found
