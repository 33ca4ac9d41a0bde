"""An official's own password and signing key: set up, unlocked for one approval, changed.

The server keeps a keystore that only the official's password opens, or just the address of a key
that is kept elsewhere. Opening one is a try like signing in: counted, with a fresh TOTP code.
"""

import json
from typing import Any

from backend import officials
from backend.chain import Signer, approvals, keys, new_keystore, open_keystore, rewrap_keystore
from backend.flows import seat_approver
from backend.flows.government_lane import Government, deployed, settle, terms_now
from backend.flows.sign_in import hashing, prove_presence
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Official, access, requests

Keystore = dict[str, Any]


async def begin_activation(services: Services, user: str, code: str) -> tuple[str, str]:
    """(TOTP secret, its `otpauth://` address) of an account to be opened; again gives the same.

    Raises Problem: 410 `activation-refused`, 429 `locked-out`.
    """
    async with services.db.transaction() as tx:
        await access.reserve_try(tx, user, services.clock.now())
    async with services.db.transaction() as tx:
        opened = await requests.open_activation(tx, services.vault, services.clock, user, code)
        await access.forgive_tries(tx, user)
    uri = access.totp_uri(user, opened.totp_secret, services.settings.issuer_name)
    return opened.totp_secret, uri


async def activate(services: Services, user: str, code: str, password: str, totp: str) -> Official:
    """Set the password of a new or reset account, shown a code of its authenticator.

    Raises Problem: 410 `activation-refused`, 422 `weak-password`, 401 `sign-in-refused` (the TOTP
    code), 429 `locked-out`.
    """
    access.check_password_rules(user, password)
    async with services.db.transaction() as tx:
        await access.reserve_try(tx, user, services.clock.now())
    made = await hashing(lambda: access.hash_password(password))
    async with services.db.transaction() as tx:
        opened = await requests.open_activation(tx, services.vault, services.clock, user, code)
        now = services.clock.now()
        step = access.totp_step(opened.totp_secret, totp, now)
        if step is None:
            raise Problem(401, "sign-in-refused", "动态码不正确,请核对手机时间后重试。")
        await access.set_access(tx, user, made, opened.totp_sealed, step, now)
        await requests.use_activation(tx, opened, now)
        await access.forgive_tries(tx, user)
        await officials.note(tx, actor=user, act="official.activate", about=user, detail={}, at=now)
        official = await officials.find(tx, user)
    if official is None:
        raise LookupError(f"official {user} was activated and is gone")
    return official


async def make_key(
    services: Services, government: Government, user: str, password: str, totp: str
) -> str:
    """Make a signing key whose keystore we keep; its address, registered on chain for approvers.

    Raises Problem: those of `prove_presence`, 409 `key-stands`, 502, 503 as the chain does.
    """
    await prove_presence(services, user, password, totp)
    address, keystore = await hashing(lambda: new_keystore(password))
    await _add_key(services, government, user, address, keystore)
    return address


async def deposit_key(
    services: Services, government: Government, user: str, keystore: Keystore, password: str
) -> str:
    """Take a key file its official made elsewhere into keeping, under the same password.

    Raises Problem: 403 `wrong-password`, 409 `key-stands`, `official-conflict`.
    """
    try:
        signer = await hashing(lambda: open_keystore(keystore, password))
    except ValueError as error:
        raise Problem(403, "wrong-password", "口令打不开这个密钥文件。") from error
    await _add_key(services, government, user, signer.address, keystore)
    return signer.address


async def register_outside_key(
    services: Services, government: Government, user: str, address: str, proof: bytes
) -> None:
    """Register the address of a key kept elsewhere; `proof` shows that its official holds it.

    Raises Problem: 403 `wrong-key`, 409 `key-stands`, `official-conflict`.
    """
    try:
        signed_by = keys.recover(approvals.key_proof_digest(user, address), proof)
    except ValueError as error:
        raise Problem(403, "wrong-key", f"签名无法验证:{error}") from error
    if signed_by != address:
        raise Problem(403, "wrong-key", "签名不是由这个地址的密钥作出的。", address=address)
    await _add_key(services, government, user, address, None)


async def unlock(services: Services, user: str, password: str, totp: str) -> Signer:
    """The official's own key, for one approval.

    Raises Problem: 401 `sign-in-refused`, 429 `locked-out`, 409 `no-key-kept`.
    """
    await prove_presence(services, user, password, totp)
    async with services.db.transaction(readonly=True) as tx:
        kept = await officials.keystore_of(tx, services.vault, user)
    if kept is None:
        raise Problem(
            409, "no-key-kept", "系统里没有您的签名密钥,请先建立,或提交在别处作出的签名。"
        )
    keystore: Keystore = json.loads(kept)
    try:
        return await hashing(lambda: open_keystore(keystore, password))
    except ValueError as error:
        raise Problem(409, "no-key-kept", "签名密钥打不开,请由管理员重置账号。") from error


async def change_password(
    services: Services, user: str, password: str, totp: str, new: str
) -> None:
    """Set a new password; the kept keystore follows it, and every session ends.

    Raises Problem: those of `prove_presence`, 422 `weak-password`.
    """
    access.check_password_rules(user, new)
    await prove_presence(services, user, password, totp)
    async with services.db.transaction(readonly=True) as tx:
        kept = await officials.keystore_of(tx, services.vault, user)
        known = await access.access_of(tx, services.vault, user)
    rewrapped = None
    if kept is not None:
        rewrapped = await hashing(lambda: rewrap_keystore(json.loads(kept), password, new))
    made = await hashing(lambda: access.hash_password(new))
    if known is None:
        raise Problem(401, "sign-in-refused", "账号已停用。")
    async with services.db.transaction() as tx:
        now = services.clock.now()
        await access.change_password_hash(tx, user, known.password_hash, made, now)
        if rewrapped is not None:
            await officials.keep_keystore(tx, services.vault, user, json.dumps(rewrapped).encode())
        await access.revoke_sessions(tx, user, now)
        await officials.note(tx, actor=user, act="official.password", about=user, detail={}, at=now)


async def _add_key(
    services: Services,
    government: Government,
    user: str,
    address: str,
    keystore: Keystore | None,
) -> None:
    terms = await terms_now(government)
    async with services.db.transaction() as tx:
        place, now = await deployed(tx), services.clock.now()
        await tx.fetchval("SELECT 1 FROM official WHERE official_id = $1 FOR UPDATE", user)
        standing = await officials.find(tx, user)
        if standing is None or standing.kind != "business":
            raise Problem(403, "not-your-role", "管理类账号没有签名密钥。", official_id=user)
        if standing.address not in (None, address):
            raise Problem(
                409, "key-stands", "已有签名密钥;更换须由两位管理员重置账号。", official_id=user
            )
        kept = None if keystore is None else json.dumps(keystore).encode()
        if standing.address is None:
            sealed = None if kept is None else officials.seal_keystore(services.vault, user, kept)
            await officials.add_key(tx, user, address, sealed, now)
        elif kept is not None:
            await officials.keep_keystore(tx, services.vault, user, kept)
        await officials.note(
            tx,
            actor=user,
            act="official.key",
            about=user,
            detail={"address": address, "kept": keystore is not None},
            at=now,
        )
        await seat_approver.align(tx, government, terms, place, user)
    await settle(government, seat_approver.purposes())
    async with services.db.transaction(readonly=True) as tx:
        reason = await seat_approver.failed(tx, user)
    if reason is not None:
        raise Problem(502, "chain-refused", f"链上登记审批人失败:{reason}", address=address)
