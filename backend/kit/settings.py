"""Everything that differs between installations, read once from the environment."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Profile = Literal["demo", "test", "production"]


class Settings(BaseSettings):
    """Settings of one installation.

    Names in the environment are `TANHUI_<NAME>`, except the three that other
    tools share: `DATABASE_URL`, `PG_BIN` and `CITY_TZ`. Durations end in `_s`.
    """

    model_config = SettingsConfigDict(env_prefix="TANHUI_", frozen=True, populate_by_name=True)

    profile: Profile = "demo"
    var: Path = Path("var")
    database_url: str | None = Field(
        default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url")
    )
    owner_database_url: str | None = None
    pg_bin: Path | None = Field(default=None, validation_alias=AliasChoices("PG_BIN", "pg_bin"))
    kcn: Path | None = None
    """The engine of a validator network (`tanhui network`); default: found on PATH."""
    city_tz: str = Field(
        default="Asia/Shanghai", validation_alias=AliasChoices("CITY_TZ", "city_tz")
    )

    issuer_id: str = Field(default="tanhui.demo", pattern=r"^[a-z][a-z0-9.-]{0,31}$")
    issuer_name: str = "碳惠演示城市"

    host: str = "127.0.0.1"
    port: int = 8700
    rpc_url: str | None = None
    rpc_port: int | None = None
    chain_id: int = 20261
    chain_profile: Literal["embedded", "ethereum", "fisco", "besu", "kaia"] = "embedded"

    anchor_interval_s: int = 5
    post_interval_s: int = 5
    post_lanes: int = Field(default=1, ge=1, le=16)
    upgrade_delay_s: int | None = Field(default=None, ge=1)
    seal_interval_ms: int = 500
    award_events_max: int = 10_000

    webhook_hosts: str = ""
    """Hosts that notices may go to, separated by commas: `hooks.example.cn`, `*.example.cn`."""

    calls_per_person_min: int = Field(default=1_200, ge=1)
    calls_per_address_min: int = Field(default=60_000, ge=1)
    sign_ins_per_address_min: int = Field(default=1_200, ge=1)
    """Calls of the citizens' door that one process takes in a minute; many share an address."""

    cors_origins: str = ""
    """Origins whose pages may call the citizens' door, separated by commas: an H5 of one's own."""

    wechat_url: str = "https://api.weixin.qq.com"
    wechat_app_id: str | None = None
    wechat_secret: str | None = Field(default=None, repr=False)
    wechat_templates: dict[str, str] = Field(default_factory=dict[str, str])
    """Subscribe-message templates by notice topic, as JSON."""
    alipay_gateway: str = "https://openapi.alipay.com/gateway.do"
    alipay_app_id: str | None = None
    """Its RSA keys are `alipay-app.pem` (ours, PKCS#8) and `alipay-public.pem` among the keys."""

    case_days: int = Field(default=15, ge=1)
    """Within how many days a citizen's appeal is answered."""

    backup_days: int = Field(default=30, ge=1)
    """How long a backup is kept: when a person was erased, the last copy is gone after this."""

    supplier_urls: dict[str, str] = Field(default_factory=dict[str, str])
    """Suppliers of rewards by name, as JSON: `{"transit": "https://tickets.example.cn/v1"}`."""

    @property
    def keys_dir(self) -> Path:
        """Where this installation's generated secrets live (mode 700)."""
        return self.var / "keys"

    @property
    def timelock_delay_s(self) -> int:
        """How long upgrades and new role holders are announced: as set, else by the profile."""
        if self.upgrade_delay_s is not None:
            return self.upgrade_delay_s
        return 2 * 86_400 if self.profile == "production" else 1

    @property
    def chain_rpc_url(self) -> str:
        """The node's JSON-RPC address: as set, else the embedded node on loopback."""
        if self.rpc_url is not None:
            return self.rpc_url
        port = self.rpc_port if self.rpc_port is not None else self.port + 2
        return f"http://127.0.0.1:{port}"


def load_settings() -> Settings:
    """Read the settings from the environment. Raises pydantic.ValidationError, which names each."""
    return Settings()
