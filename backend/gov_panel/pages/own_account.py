"""我的账号: one's own roles, signing key and password."""

# pyright: standard

from nicegui import ui

from backend.flows import own_key
from backend.gov_panel.desk import Desk, Visit
from backend.gov_panel.frame import account_page, card, chip, pairs
from backend.officials import Session, roles


def register(desk: Desk) -> None:
    """Serve the page to everyone who is signed in."""

    @account_page(desk, "/me", "我的账号")
    async def page(visit: Visit) -> None:
        official = visit.session.official
        with card("身份"):
            pairs({
                "用户名": official.official_id, "姓名": official.name,
                "角色": "、".join(roles.TITLES[role] for role in official.roles),
            })  # fmt: skip
        with card("签名密钥"):
            if official.address is not None:
                chip("已登记")
                pairs({"签名地址": official.address})
                ui.label(
                    "每次签名都要再次输入口令和动态码;更换密钥须由两位管理员重置账号。"
                ).classes("th-sub")
            else:
                chip("尚未登记", "warn")
                ui.label(
                    "审批要用您本人的密钥签名。密钥用您的口令加密保存,服务器不能代签。"
                ).classes("th-sub")
                _make_key(visit)
        with card("修改口令"):
            _change_password(visit)


def _make_key(visit: Visit) -> None:
    password = ui.input("口令", password=True).props("outlined dense")
    totp = ui.input("动态码").props("outlined dense inputmode=numeric maxlength=6")

    async def make(by: Session) -> str:
        user = by.official.official_id
        government = visit.desk.government
        address = await own_key.make_key(
            visit.services, government, user, password.value or "", totp.value or ""
        )
        return f"密钥已生成,签名地址 {address}。"

    ui.button("生成密钥", icon="key", on_click=visit.doing(None, make))


def _change_password(visit: Visit) -> None:
    old = ui.input("现在的口令", password=True).props("outlined dense")
    totp = ui.input("动态码").props("outlined dense inputmode=numeric maxlength=6")
    new = ui.input("新口令(12 个字符以上)", password=True).props("outlined dense")

    async def change(by: Session) -> str:
        user = by.official.official_id
        await own_key.change_password(
            visit.services, user, old.value or "", totp.value or "", new.value or ""
        )
        return "口令已修改。"

    ui.button("修改", on_click=visit.doing(None, change))
