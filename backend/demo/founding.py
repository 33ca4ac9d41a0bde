"""From an empty database to a city in operation: contracts, people, an enacted programme."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from backend.chain import ChainClient, NodeAway, open_keys, profile_of, require_fit
from backend.demo import city, offices, parking, programme, shop
from backend.demo.installation import CannotStart, Installation, Show
from backend.flows.deploy_chain import deploy_chain
from backend.flows.publish_trust import publish_trust
from backend.kit.clock import SystemClock
from backend.kit.db import Database
from backend.kit.services import Services
from backend.kit.vault import Vault

NODE_S_MAX = 60


@asynccontextmanager
async def open_services(installation: Installation) -> AsyncGenerator[tuple[Services, ChainClient]]:
    """The tools of an installation, as its own processes open them."""
    settings = installation.settings
    db = await Database.open(installation.server.url("app"), size=4)
    client = ChainClient(settings.chain_rpc_url, profile_of(settings.chain_profile))
    try:
        yield Services(db, Vault(settings.keys_dir), SystemClock(), settings), client
    finally:
        await client.close()
        await db.close()


async def deploy(installation: Installation, show: Show) -> None:
    """Put the contracts on the chain and publish the trust file; on a later start only look."""
    async with open_services(installation) as (services, client):
        await _node_answers(client)
        settings = services.settings
        keys = open_keys(settings.keys_dir, post_lanes=settings.post_lanes)
        await require_fit(client, settings.chain_id, [keys.admin.address])
        await deploy_chain(services.db, client, keys, upgrade_delay_s=settings.timelock_delay_s)
        trust = await publish_trust(services.db, services.vault, services.settings, services.clock)
    show("✓", f"合约已部署,信任文件第 {trust.version} 版(单节点链:能发现篡改,但不是共识)")


async def found(
    installation: Installation, holdings: city.City, show: Show
) -> list[dict[str, Any]]:
    """Enter the sample city and enact its programme. Returns `sign_ins.partners`."""
    async with open_services(installation) as (services, client):
        kept = services.settings.var / "demo" / "bindings.json"
        partners = await city.settle(services, holdings, kept)
        show("✓", f"示例城市:{len(partners)} 家合作平台,{len(city.CITIZENS)} 位已授权市民")
        papers = services.settings.var / "demo" / "city.json"
        holdings, signers = await offices.open_offices(
            services, client, holdings, lambda known: city.save(papers, known)
        )
        show("✓", f"主管部门:{len(holdings.officials)} 位人员,账号均经两位管理员办理")
        await programme.enact(services, client, signers)
        show("✓", "方法学与激励规则经两位审批人用各自密钥签名,已在链上生效")
        await shop.open_shop(services)
        show("✓", f"兑换商城:{len(shop.REWARDS)} 种兑换品")
        await parking.open_car_park(services, papers.parent)
        show("✓", f"示范停车场:{parking.SPACES} 个共享车位,价格与分账合同已生效")
        # The partners' keys are part of what strangers pin.
        await publish_trust(services.db, services.vault, services.settings, services.clock)
    return partners


async def _node_answers(client: ChainClient) -> None:
    deadline_s = time.monotonic() + NODE_S_MAX
    while True:
        try:
            await client.chain_id()
        except NodeAway as error:
            if time.monotonic() > deadline_s:
                raise CannotStart(f"链节点在 {NODE_S_MAX} 秒内没有应答:{error}") from error
            await asyncio.sleep(0.05)
        else:
            return
