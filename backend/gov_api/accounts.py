"""`/login`, `/logout`, `/me`, `/activations`: an official's own sign-in and signing key."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from backend import officials
from backend.flows import own_key, sign_in
from backend.gov_api.gate import SIGNED_OUT, Gate
from backend.gov_api.office import Office
from backend.gov_api.pace import TOO_MANY, Pace
from backend.gov_api.writing import ON_CHAIN, WRITE, IdempotencyKey, In, Once, example
from backend.kit.openapi import Refusal, refusals
from backend.officials import Official, Session

REFUSED: Refusal = (401, "sign-in-refused", "用户名、口令或动态码不正确,或动态码已用过。")
LOCKED: Refusal = (429, "locked-out", "连续 5 次未通过,请稍后再试。")
NO_ACTIVATION: Refusal = (410, "activation-refused", "激活码不正确、已使用或已过期。")
WEAK: Refusal = (422, "weak-password", "口令须为 12 至 128 个字符,不得含有用户名。")
KEY_STANDS: Refusal = (409, "key-stands", "已有签名密钥;更换须由两位管理员重置账号。")
KEY_TAKEN: Refusal = (409, "official-conflict", "人员标识或签名地址已另有登记。")
WRONG_KEY: Refusal = (403, "wrong-key", "签名不是由这个地址的密钥作出的。")
NO_KEY: Refusal = (403, "not-your-role", "管理类账号没有签名密钥。")

User = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
Password = Annotated[str, Field(min_length=1, max_length=128)]
Totp = Annotated[str, Field(pattern=r"^[0-9]{6}$")]
Signature = Annotated[str, Field(pattern=r"^0x[0-9a-f]{130}$", description="r ‖ s ‖ v, v 27 or 28")]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-f]{40}$")]


class LoginIn(In):
    """User, password and the present code of the authenticator; a code counts once."""

    model_config = example(
        {"user": "approver-a", "password": "correct horse staple", "totp": "492039"}
    )

    user: User
    password: Password
    totp: Totp


class PresenceIn(In):
    """Password and a fresh code, for what a session alone may not do."""

    model_config = example({"password": "correct horse staple", "totp": "492039"})

    password: Password
    totp: Totp


class ActivationBeginIn(In):
    """Both halves of the activation code, one from each of two administrators."""

    model_config = example({"user": "approver-a", "code": "h4kz7mqw2pxv9ncd-r8tqy3bfj5sa6wge"})

    user: User
    code: Annotated[str, Field(min_length=1, max_length=64)]


class ActivationIn(ActivationBeginIn):
    """The code again, the new password, and a code of the authenticator that was set up."""

    model_config = example(
        {
            "user": "approver-a",
            "code": "h4kz7mqw2pxv9ncd-r8tqy3bfj5sa6wge",
            "password": "correct horse staple",
            "totp": "492039",
        }
    )

    password: Password
    totp: Totp


class PasswordIn(PresenceIn):
    """The password that stands, a fresh code, and the new password."""

    model_config = example(
        {
            "password": "correct horse staple",
            "totp": "492039",
            "new_password": "battery horse staple",
        }
    )

    new_password: Password


class OutsideKeyIn(In):
    """The address of a key kept elsewhere, and its signature over `proof_digest` of GET /me."""

    model_config = example({"address": "0x" + "1a" * 20, "proof": "0x" + "2b" * 65})

    address: Address
    proof: Signature


class OfficialOut(BaseModel):
    """One official. `address` is that of the signing key; `key_kept` whether we keep the key."""

    user: str
    name: str
    kind: str
    roles: list[str]
    address: str | None
    key_kept: bool
    created_at: datetime
    suspended_at: datetime | None


class Me(OfficialOut):
    """The official who asks, what their roles let them do, and until when this session stands."""

    acts: list[str]
    expires_at: datetime


class SessionOut(BaseModel):
    """A new session: `token` goes into `Authorization: Bearer …`; idle for 30 minutes it ends."""

    token: str
    expires_at: datetime
    official: OfficialOut


class ActivationOut(BaseModel):
    """What the authenticator app is set up with; `totp_uri` is usually shown as a QR code."""

    totp_secret: str
    totp_uri: str


class KeyOut(BaseModel):
    """The address that signs from now on."""

    address: str


class Done(BaseModel):
    """It is done."""

    done: bool = True


def official_out(official: Official) -> OfficialOut:
    """An official as the door shows them."""
    return OfficialOut(
        user=official.official_id,
        name=official.name,
        kind=official.kind,
        roles=list(official.roles),
        address=official.address,
        key_kept=official.key_kept,
        created_at=official.created_at,
        suspended_at=official.suspended_at,
    )


def router(office: Office) -> APIRouter:
    """The routes."""
    door, pace = APIRouter(), Pace(office.services.clock)
    _add_sessions(door, office, pace)
    _add_activations(door, office, pace)
    _add_keys(door, office)
    return door


def _add_sessions(door: APIRouter, office: Office, pace: Pace) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/login",
        summary="Sign in with password and TOTP code",
        response_model=SessionOut,
        responses=refusals(REFUSED, LOCKED, TOO_MANY, *WRITE),
    )
    async def login(
        request: Request, asked: LoginIn, idempotency_key: IdempotencyKey = None
    ) -> Response:
        pace.take(request)

        async def write() -> SessionOut:
            made = await sign_in.sign_in(services, asked.user, asked.password, asked.totp)
            return SessionOut(
                token=made.token,
                expires_at=made.expires_at,
                official=official_out(made.official),
            )

        return await once(request, asked.user, idempotency_key, write)

    @door.post(
        "/logout",
        summary="End this session",
        status_code=204,
        response_class=Response,
        responses=refusals(SIGNED_OUT),
    )
    async def logout(session: Annotated[Session, Depends(gate.signed_in())]) -> None:
        await sign_in.sign_out(services, session)

    @door.get(
        "/me", summary="Who is signed in and what they may do", responses=refusals(SIGNED_OUT)
    )
    async def me(session: Annotated[Session, Depends(gate.signed_in())]) -> Me:
        roles = session.official.roles
        return Me(
            **official_out(session.official).model_dump(),
            acts=sorted(act for act in officials.roles.ACTS if officials.may(roles, act)),
            expires_at=session.expires_at,
        )

    @door.post(
        "/me/password",
        summary="Change one's own password; every session ends",
        response_model=Done,
        responses=refusals(SIGNED_OUT, REFUSED, LOCKED, WEAK, *WRITE),
    )
    async def password(
        request: Request,
        asked: PasswordIn,
        session: Annotated[Session, Depends(gate.signed_in())],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        user = session.official.official_id

        async def write() -> Done:
            await own_key.change_password(
                services, user, asked.password, asked.totp, asked.new_password
            )
            return Done()

        return await once(request, user, idempotency_key, write)


def _add_activations(door: APIRouter, office: Office, pace: Pace) -> None:
    services = office.services
    once = Once(services)

    @door.post(
        "/activations/begin",
        summary="The authenticator secret of an account to be opened; again gives the same",
        responses=refusals(NO_ACTIVATION, LOCKED, TOO_MANY, *WRITE),
    )
    async def begin(request: Request, asked: ActivationBeginIn) -> ActivationOut:
        pace.take(request)
        secret, uri = await own_key.begin_activation(services, asked.user, asked.code)
        return ActivationOut(totp_secret=secret, totp_uri=uri)

    @door.post(
        "/activations",
        summary="Open one's account: set the password, shown a code of the authenticator",
        response_model=OfficialOut,
        responses=refusals(NO_ACTIVATION, REFUSED, LOCKED, TOO_MANY, WEAK, *WRITE),
    )
    async def activate(
        request: Request, asked: ActivationIn, idempotency_key: IdempotencyKey = None
    ) -> Response:
        pace.take(request)

        async def write() -> OfficialOut:
            return official_out(
                await own_key.activate(services, asked.user, asked.code, asked.password, asked.totp)
            )

        return await once(request, asked.user, idempotency_key, write)


def _add_keys(door: APIRouter, office: Office) -> None:
    services = office.services
    once, gate = Once(services), Gate(services)

    @door.post(
        "/me/key",
        summary="Make one's own signing key; only one's password opens it",
        response_model=KeyOut,
        responses=refusals(SIGNED_OUT, REFUSED, LOCKED, NO_KEY, KEY_STANDS, *ON_CHAIN, *WRITE),
    )
    async def make(
        request: Request,
        asked: PresenceIn,
        session: Annotated[Session, Depends(gate.signed_in())],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        user = session.official.official_id

        async def write() -> KeyOut:
            return KeyOut(
                address=await own_key.make_key(
                    services, office.government, user, asked.password, asked.totp
                )
            )

        return await once(request, user, idempotency_key, write)

    @door.put(
        "/me/key",
        summary="Register the address of a key that is kept elsewhere, such as a hardware key",
        description=(
            "`proof` is the key's signature over keccak256 of "
            "`tanhui-official-key-v1\\n<user>\\n<address>`."
        ),
        response_model=KeyOut,
        responses=refusals(SIGNED_OUT, WRONG_KEY, NO_KEY, KEY_STANDS, KEY_TAKEN, *ON_CHAIN, *WRITE),
    )
    async def outside(
        request: Request,
        asked: OutsideKeyIn,
        session: Annotated[Session, Depends(gate.signed_in())],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        user = session.official.official_id

        async def write() -> KeyOut:
            await own_key.register_outside_key(
                services, office.government, user, asked.address, bytes.fromhex(asked.proof[2:])
            )
            return KeyOut(address=asked.address)

        return await once(request, user, idempotency_key, write)
