"""The sample city's offices: nine people, each account opened as a real one is.

The first two administrators found the offices; everybody else is asked for by one and confirmed by
the other, sets up an authenticator and a password, and approvers bring their own signing key. What
only the person would know stands in `city.json` before the account is opened, so that a start that
was killed half way continues with it.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from pyotp.totp import TOTP

from backend import officials
from backend.chain import ChainClient, Signer, new_keystore, open_keys, open_keystore
from backend.demo.city import City, SampleOfficial
from backend.flows import change_official, own_key
from backend.flows.government_lane import Government
from backend.kit.ids import new_id
from backend.kit.services import Services
from backend.kit.settings import Profile
from backend.officials import KeyFile, Session, read_key_file, requests, write_key_file

FOUNDERS = ("sys-admin", "sec-admin")
REASON = "示例城市任职"
SLOW_TYPING = timedelta(seconds=20)


async def open_offices(
    services: Services, client: ChainClient, city: City, save: Callable[[City], None]
) -> tuple[City, dict[str, Signer]]:
    """Open every account that is not open yet; the city as known now, and the approvers' keys.

    `save` keeps a city durably. Raises Problem, named by the step that did not hold.
    """
    government = Government(
        services.db, services.clock, client, open_keys(services.settings.keys_dir).government
    )
    founders = sorted(city.officials, key=lambda each: each.user not in FOUNDERS)
    for official in founders:
        async with services.db.transaction(readonly=True) as tx:
            open_ = await officials.access.access_of(tx, services.vault, official.user)
        if open_ is None:
            code = await _code(services, government, official)
            secret, _ = await own_key.begin_activation(services, official.user, code)
            city = city.with_official(replace(official, totp_secret=secret))
            save(city)
            # An earlier code than the present one, so that a person can sign in at once with that.
            shown = TOTP(secret).at(services.clock.now() - SLOW_TYPING)
            await own_key.activate(services, official.user, code, official.password, shown)
    signers = {
        each.user: await _bring_key(services, government, each)
        for each in city.officials
        if each.role == "approver"
    }
    return city, signers


async def _code(services: Services, government: Government, official: SampleOfficial) -> str:
    """The activation code of an account, made by whoever may."""
    if official.user in FOUNDERS:
        async with services.db.transaction() as tx:
            return await requests.found_administrator(
                tx, services.vault, services.clock, official.user, official.name, official.role
            )
    asker, confirmer = [await _seat(services, user) for user in FOUNDERS]
    async with services.db.transaction(readonly=True) as tx:
        known = await officials.find(tx, official.user)
    if known is None:
        request, first = await change_official.ask(
            services, asker, "enrol", official.user, REASON, role=official.role, name=official.name
        )
    else:
        request, first = await change_official.ask(services, asker, "reset", official.user, REASON)
    settled = await change_official.settle_request(
        services, government, confirmer, request.request_id, confirm=True
    )
    return f"{first}-{settled.code_half}"


async def _seat(services: Services, user: str) -> Session:
    async with services.db.transaction(readonly=True) as tx:
        official = await officials.find(tx, user)
    if official is None:
        raise LookupError(f"the administrator {user} is not there")
    return Session(new_id(), official, services.clock.now())


async def _bring_key(
    services: Services, government: Government, official: SampleOfficial
) -> Signer:
    path = services.settings.keys_dir / "officials" / f"{official.user}.json"
    key = _own_key_file(path, official, services.settings.profile)
    async with services.db.transaction(readonly=True) as tx:
        standing = await officials.find(tx, official.user)
    if standing is None or not standing.key_kept:
        await own_key.deposit_key(
            services, government, official.user, key.keystore, official.password
        )
    return open_keystore(key.keystore, official.password)


def _own_key_file(path: Path, official: SampleOfficial, profile: Profile) -> KeyFile:
    """The official's key file, made on the first start; a person would keep it elsewhere."""
    if not path.exists():
        address, keystore = new_keystore(official.password)
        write_key_file(path, KeyFile(official.user, address, profile, keystore))
    return read_key_file(path, profile)
