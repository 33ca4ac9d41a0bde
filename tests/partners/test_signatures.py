"""Signatures of requests: published vectors, keys in their windows, and what never counts."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from backend.kit.problems import Problem
from backend.kit.sm import Sm2PrivateKey
from backend.partners import Partner, Scheme, verify_request
from backend.partners.signatures import SCHEMES, WebhookKey, decode_secret
from tests.evidence.builders import SM2_KEY, sign, signed_headers

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
KEY = bytes(range(32))


def a_key(scheme: Scheme = "v1", **changes) -> WebhookKey:
    given: dict = {
        "key_id": f"key-{scheme}",
        "scheme": scheme,
        "purpose": "webhook",
        "valid_from": NOW - timedelta(days=1),
        "valid_to": None,
    }
    if scheme == "v1s2":
        given["public_key"] = SM2_KEY.public_key.to_bytes()
    else:
        given["secret"] = KEY
    return WebhookKey(**given | changes)


def a_partner(*keys: WebhookKey, required: Scheme = "v1") -> Partner:
    return Partner("metro", "metro", required, frozenset(), False, keys)


def name_of_refusal(partner: Partner, headers: dict[str, str], body: bytes) -> str:
    with pytest.raises(Problem) as refused:
        verify_request(partner, headers, body, NOW)
    assert refused.value.status == 401
    return refused.value.name


def test_vector_shared_by_the_libraries() -> None:
    body = b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    partner = a_partner(a_key(secret=secret, valid_from=at))
    assert verify_request(partner, headers, body, at).origin == "shared-secret"
    several = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,x "
    headers["webhook-signature"] = several + headers["webhook-signature"]
    assert verify_request(partner, headers, body, at).scheme == "v1"


@given(body=st.text(max_size=200), webhook_id=st.from_regex(r"[a-z0-9_.]{1,40}", fullmatch=True))
def test_library_and_door_agree(body: str, webhook_id: str) -> None:
    secret = "whsec_" + base64.b64encode(KEY).decode()
    signature = Webhook(secret).sign(webhook_id, NOW.replace(tzinfo=None), body)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": signature,
    }
    request = verify_request(a_partner(a_key()), headers, body.encode(), NOW)
    assert (request.webhook_id, request.key_id) == (webhook_id, "key-v1")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme(scheme: Scheme) -> None:
    headers = signed_headers(b"body", NOW, scheme=scheme)
    partner = a_partner(a_key(scheme), required=scheme)
    request = verify_request(partner, headers, b"body", NOW)
    assert request.scheme == scheme
    assert request.origin == ("signed-upload" if scheme == "v1s2" else "shared-secret")
    assert name_of_refusal(partner, headers, b"bodY") == "bad-signature"


@pytest.mark.parametrize(
    ("required", "signed_with", "outcome"),
    [
        ("v1s2", "v1", "weak-signature"),
        ("v1s2", "v1sm", "weak-signature"),
        ("v1sm", "v1", "weak-signature"),
        ("v1", "v1sm", "v1sm"),
        ("v1", "v1s2", "v1s2"),
        ("v1sm", "v1s2", "v1s2"),
    ],
)
def test_required_scheme_is_a_floor(required: Scheme, signed_with: Scheme, outcome: str) -> None:
    """The partner has keys of every scheme, and the signature itself is right each time."""
    partner = a_partner(*(a_key(scheme) for scheme in SCHEMES), required=required)
    headers = signed_headers(b"", NOW, scheme=signed_with)
    if outcome == "weak-signature":
        assert name_of_refusal(partner, headers, b"") == outcome
    else:
        assert verify_request(partner, headers, b"", NOW).scheme == outcome


def test_control_without_the_floor_the_weak_signature_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    partner = a_partner(a_key("v1"), a_key("v1s2"), required="v1s2")
    headers = signed_headers(b"", NOW, scheme="v1")
    monkeypatch.setattr("backend.partners.signatures.SCHEMES", ("v1s2", "v1sm", "v1"))
    assert verify_request(partner, headers, b"", NOW).scheme == "v1"


def test_hmac_sm3_from_its_definition() -> None:
    """RFC 2104 written out over GB/T 32905: block of 64 bytes, ipad 0x36, opad 0x5c."""

    def sm3(data: bytes) -> bytes:
        return hashlib.new("sm3", data).digest()

    content = b"msg-1.%d.body" % int(NOW.timestamp())
    padded = KEY.ljust(64, b"\0")
    inner = sm3(bytes(b ^ 0x36 for b in padded) + content)
    mac = sm3(bytes(b ^ 0x5C for b in padded) + inner)
    headers = signed_headers(b"body", NOW)
    headers["webhook-signature"] = "v1sm," + base64.b64encode(mac).decode()
    partner = a_partner(a_key("v1sm"), required="v1sm")
    request = verify_request(partner, headers, b"body", NOW)
    assert (request.scheme, request.origin) == ("v1sm", "shared-secret")
    # The same bytes under the other HMAC's name are not that HMAC.
    headers["webhook-signature"] = "v1," + base64.b64encode(mac).decode()
    assert name_of_refusal(a_partner(a_key("v1"), a_key("v1sm")), headers, b"body") == (
        "bad-signature"
    )


@pytest.mark.parametrize("required", SCHEMES)
def test_a_broken_signature_of_the_required_scheme_is_not_saved_by_a_weaker_one(
    required: Scheme,
) -> None:
    partner = a_partner(*(a_key(scheme) for scheme in SCHEMES), required=required)
    weaker = SCHEMES[: SCHEMES.index(required)]
    good = [signed_headers(b"", NOW, scheme=s)["webhook-signature"] for s in weaker]
    headers = signed_headers(b"", NOW)
    headers["webhook-signature"] = " ".join([*good, f"{required},AAAA"])
    assert name_of_refusal(partner, headers, b"") == "bad-signature"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_two_keys_during_a_rotation(scheme: Scheme) -> None:
    """Old and new key both count while both are valid, and either alone is enough."""
    other = Sm2PrivateKey(0xFEED) if scheme == "v1s2" else bytes(32)
    held = (
        {"public_key": other.public_key.to_bytes()}
        if isinstance(other, Sm2PrivateKey)
        else {"secret": other}
    )
    ends = NOW + timedelta(hours=1)
    partner = a_partner(
        a_key(scheme, valid_to=ends), a_key(scheme, key_id="new", **held), required=scheme
    )
    for at, old_counts in ((NOW, True), (ends, False)):
        new = signed_headers(b"", at, scheme=scheme, key=other)
        assert verify_request(partner, new, b"", at).key_id == "new"
        old = signed_headers(b"", at, scheme=scheme)
        both = old | {"webhook-signature": f"{old['webhook-signature']} {new['webhook-signature']}"}
        assert verify_request(partner, both, b"", at).key_id in (f"key-{scheme}", "new")
        if old_counts:
            assert verify_request(partner, old, b"", at).key_id == f"key-{scheme}"
        else:
            with pytest.raises(Problem, match="bad-signature"):
                verify_request(partner, old, b"", at)


def test_sm2_signature_in_another_encoding() -> None:
    content = b"tanhui-webhook-v1\nmsg-1.%d.body" % int(NOW.timestamp())
    raw = SM2_KEY.sign(content)
    headers = signed_headers(b"body", NOW, scheme="v1s2")
    partner = a_partner(a_key("v1s2"), required="v1s2")
    headers["webhook-signature"] = "v1s2," + base64.b64encode(raw).decode()
    assert name_of_refusal(partner, headers, b"body") == "bad-signature"


def test_sm2_signature_of_another_purpose() -> None:
    """A signature over a statement, or by a statement key, opens nothing here."""
    partner = a_partner(a_key("v1s2", purpose="statement"), required="v1s2")
    headers = signed_headers(b"body", NOW, scheme="v1s2")
    assert name_of_refusal(partner, headers, b"body") == "bad-signature"


@pytest.mark.parametrize(
    ("valid_from_s", "valid_to_s", "counts"),
    [(0, None, True), (1, None, False), (-10, 0, False), (-10, 1, True)],
)
def test_key_window_is_half_open(valid_from_s: int, valid_to_s: int | None, counts: bool) -> None:
    valid_to = None if valid_to_s is None else NOW + timedelta(seconds=valid_to_s)
    key = a_key(valid_from=NOW + timedelta(seconds=valid_from_s), valid_to=valid_to)
    headers = signed_headers(b"", NOW)
    if counts:
        assert verify_request(a_partner(key), headers, b"", NOW).key_id == "key-v1"
    else:
        assert name_of_refusal(a_partner(key), headers, b"") == "bad-signature"


def test_only_the_first_signatures_are_looked_at() -> None:
    good = sign("v1", KEY, "msg-1", int(NOW.timestamp()), b"")
    wrong = sign("v1", KEY, "msg-2", int(NOW.timestamp()), b"")
    headers = signed_headers(b"", NOW)
    headers["webhook-signature"] = f"{wrong} {wrong} {wrong} {good}"
    assert verify_request(a_partner(a_key()), headers, b"", NOW).scheme == "v1"
    headers["webhook-signature"] = " ".join([wrong] * 4 + [good])
    assert name_of_refusal(a_partner(a_key()), headers, b"") == "bad-signature"


@given(st.text(max_size=300))
def test_no_header_value_breaks_the_door(value: str) -> None:
    headers = signed_headers(b"", NOW)
    for name in headers:
        assert name_of_refusal(a_partner(a_key()), headers | {name: value}, b"")


@pytest.mark.parametrize("text", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA"])
def test_secret_out_of_form(text: str) -> None:
    with pytest.raises(ValueError, match="shared secret"):
        decode_secret(text)
