"""What a newcomer sees: one line a step, and a closing screen that says where to click."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from backend.demo.tour import Step


class Addresses(NamedTuple):
    """Where the doors are: the API with the pages, and the officials' panel."""

    api: str
    panel: str


def closing(
    console: Console,
    addresses: Addresses,
    papers: Path,
    sign_ins: Path,
    steps: Sequence[Step],
) -> None:
    """The closing screen: addresses, papers to check, and what to try next."""
    base_url = addresses.api
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    table.add_row("从这里开始 start here", f"{base_url}/")
    table.add_row("网页核验 verify page", f"{base_url}/verify")
    table.add_row("市民手机端 phone", f"{base_url}/m/")
    table.add_row("政府端 panel", addresses.panel)
    table.add_row("接口文档 API", f"{base_url}/docs")
    table.add_row("公开账目 supply", f"{base_url}/public/v1/supply")
    table.add_row("规则 rules", f"{base_url}/public/v1/rules")
    table.add_row("日志检查点 checkpoint", f"{base_url}/public/v1/checkpoint")
    table.add_row("链 JSON-RPC", f"{base_url}/public/v1/chain/rpc")
    table.add_row("示例账号 sign-ins", str(sign_ins))
    table.add_row(
        "核验回执 verify",
        f".venv/bin/tanhui verify {papers / 'receipt.json'} --trust {papers / 'trust.json'} "
        f"--rpc {base_url}/public/v1/chain/rpc",
    )
    table.add_row(
        "伪造的回执 forged",
        f".venv/bin/tanhui verify {papers / 'receipt-tampered.json'} "
        f"--trust {papers / 'trust.json'} --offline",
    )
    table.add_row("核对账目 reconcile", ".venv/bin/tanhui reconcile")
    held = all(step.ok for step in steps)
    title = "碳惠演示已就绪 · Tanhui is running" if held else "[red]演示有一步没有成立[/red]"
    console.print(Panel(table, title=title, subtitle="Ctrl-C 停止;再次启动会接着运行"))
