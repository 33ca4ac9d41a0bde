"""Citizens through the registry's front: people, accounts, consents, bindings."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from backend import citizens
from backend.citizens import providers
from backend.kit.clock import FixedClock
from backend.kit.db import Database, Tx
from backend.kit.problems import Problem
from backend.kit.settings import Settings
from backend.kit.sm import sm3
from backend.kit.vault import SealBroken, Vault

SCENARIO = "transit.metro.trip"


async def a_citizen(tx: Tx, vault: Vault, clock: FixedClock, name: str = "lin") -> UUID:
    return await citizens.create_or_get(tx, vault, "sandbox", name, clock)


async def a_code(tx: Tx, clock: FixedClock, citizen_id: UUID, partner: str = "metro") -> str:
    consent = await citizens.give_consent(tx, citizen_id, partner, SCENARIO, clock.now())
    made = await citizens.new_binding_code(tx, citizen_id, consent.consent_id, partner, clock)
    return made.code


async def consents_seen(tx: Tx, who: UUID) -> Mapping[str, tuple[datetime, datetime | None]]:
    """What the door sees of a person who is bound to metro, whatever they consented to."""
    await tx.execute(
        """INSERT INTO binding (binding_id, partner_id, citizen_id, token_hash, user_ref_hash,
               created_at) VALUES ($1, 'metro', $1, $2, $2, now())""",
        who,
        sm3(who.bytes),
    )
    [reporter] = (await citizens.reporters_of(tx, "metro", [sm3(who.bytes)])).values()
    return reporter.consents


def test_account_of_the_published_vector() -> None:
    assert (
        citizens.account_of_secret("carbon", bytes(32)).hex()
        == "e28d809607a454ec30d989ddf5c342bf0e530573"
    )


async def test_a_person_is_created_once(tx: Tx, vault: Vault, clock: FixedClock) -> None:
    first = await a_citizen(tx, vault, clock)
    assert await a_citizen(tx, vault, clock) == first
    assert await a_citizen(tx, vault, clock, "chen") != first


async def test_twins_who_sign_in_together_are_one_person(
    db: Database, vault: Vault, clock: FixedClock
) -> None:
    async def sign_in() -> UUID:
        async with db.transaction() as tx:
            return await a_citizen(tx, vault, clock)

    ids = await asyncio.gather(*(sign_in() for _ in range(8)))
    assert len(set(ids)) == 1


async def test_accounts_are_made_once_and_set_based(
    tx: Tx, vault: Vault, clock: FixedClock
) -> None:
    ids = [await a_citizen(tx, vault, clock, f"c{n}") for n in range(20)]
    made = await citizens.accounts_of(tx, vault, ids, "carbon")
    assert set(made) == set(ids)
    assert all(len(account) == 20 for account in made.values())
    assert await citizens.accounts_of(tx, vault, ids, "carbon") == made
    other = await citizens.accounts_of(tx, vault, ids, "congestion")
    assert not set(other.values()) & set(made.values())


async def test_an_erased_secret_makes_no_account(tx: Tx, vault: Vault, clock: FixedClock) -> None:
    assert await citizens.accounts_of(tx, vault, [uuid4()], "carbon") == {}


async def test_a_secret_moved_to_another_row_does_not_open(
    tx: Tx, vault: Vault, clock: FixedClock
) -> None:
    one = await a_citizen(tx, vault, clock, "one")
    stolen = await tx.fetchval(
        "SELECT secret_sealed FROM citizen_secret WHERE citizen_id = $1", one
    )
    with pytest.raises(SealBroken):
        vault.open_sealed(stolen, f"citizen-secret/{uuid4()}".encode())


async def test_no_name_of_the_provider_is_stored(tx: Tx, vault: Vault, clock: FixedClock) -> None:
    await a_citizen(tx, vault, clock, "openid-of-lin")
    row = await tx.fetchrow("SELECT * FROM citizen")
    assert row is not None
    assert "openid-of-lin" not in str(dict(row))


class TestConsents:
    async def test_given_at_a_whole_second(self, tx: Tx, vault: Vault, clock: FixedClock) -> None:
        at = datetime(2026, 10, 1, 8, 0, 0, 999_999, tzinfo=UTC)
        consent = await citizens.give_consent(
            tx, await a_citizen(tx, vault, clock), "metro", SCENARIO, at
        )
        assert consent.given_at == at.replace(microsecond=0)

    async def test_giving_again_changes_nothing(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        who = await a_citizen(tx, vault, clock)
        first = await citizens.give_consent(tx, who, "metro", SCENARIO, clock.now())
        clock.advance(days=1)
        assert await citizens.give_consent(tx, who, "metro", SCENARIO, clock.now()) == first

    async def test_withdrawn_and_given_anew_is_another_consent(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        who = await a_citizen(tx, vault, clock)
        first = await citizens.give_consent(tx, who, "metro", SCENARIO, clock.now())
        clock.advance(days=1)
        gone = await citizens.withdraw_consent(tx, who, first.consent_id, clock.now())
        assert gone is not None
        assert gone.withdrawn_at == clock.now()
        assert await citizens.lock_consents(tx, [(who, "metro", SCENARIO)]) == {
            (who, "metro", SCENARIO)
        }
        clock.advance(days=1)
        second = await citizens.give_consent(tx, who, "metro", SCENARIO, clock.now())
        assert second.consent_id != first.consent_id
        assert await citizens.lock_consents(tx, [(who, "metro", SCENARIO)]) == set()
        assert await consents_seen(tx, who) == {SCENARIO: (second.given_at, None)}

    async def test_nobody_withdraws_for_another(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        who = await a_citizen(tx, vault, clock)
        consent = await citizens.give_consent(tx, who, "metro", SCENARIO, clock.now())
        thief = await a_citizen(tx, vault, clock, "thief")
        refused = await citizens.withdraw_consent(tx, thief, consent.consent_id, clock.now())
        assert refused is None
        assert await citizens.lock_consents(tx, [(who, "metro", SCENARIO)]) == set()

    async def test_the_last_withdrawn_consent_is_told_when_none_stands(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        who = await a_citizen(tx, vault, clock)
        given = clock.now()
        for _ in range(2):
            consent = await citizens.give_consent(tx, who, "metro", SCENARIO, given)
            clock.advance(hours=1)
            await citizens.withdraw_consent(tx, who, consent.consent_id, clock.now())
        seen = await consents_seen(tx, who)
        assert seen == {SCENARIO: (given, clock.now())}

    async def test_a_withdrawal_waits_for_the_award_that_holds_the_consent(
        self, db: Database, vault: Vault, clock: FixedClock
    ) -> None:
        async with db.transaction() as tx:
            who = await a_citizen(tx, vault, clock)
            consent = await citizens.give_consent(tx, who, "metro", SCENARIO, clock.now())
        order: list[str] = []

        async def withdraw() -> None:
            async with db.transaction() as tx:
                await citizens.withdraw_consent(tx, who, consent.consent_id, clock.now())
                order.append("withdrawn")

        async with db.transaction() as award:
            assert await citizens.lock_consents(award, [(who, "metro", SCENARIO)]) == set()
            withdrawal = asyncio.create_task(withdraw())
            await asyncio.sleep(0.3)
            order.append("awarded")
        await withdrawal
        assert order == ["awarded", "withdrawn"]

    async def test_an_award_that_waited_for_a_withdrawal_sees_it(
        self, db: Database, vault: Vault, clock: FixedClock
    ) -> None:
        async with db.transaction() as tx:
            who = await a_citizen(tx, vault, clock)
            consent = await citizens.give_consent(tx, who, "metro", SCENARIO, clock.now())
        key = (who, "metro", SCENARIO)

        async def lock() -> set[tuple[UUID, str, str]]:
            async with db.transaction() as tx:
                return await citizens.lock_consents(tx, [key])

        async with db.transaction() as tx:
            await citizens.withdraw_consent(tx, who, consent.consent_id, clock.now())
            award = asyncio.create_task(lock())
            await asyncio.sleep(0.3)
            assert not award.done()
        assert await award == {key}

    async def test_without_the_lock_an_award_would_miss_a_withdrawal(
        self, db: Database, vault: Vault, clock: FixedClock
    ) -> None:
        """Negative control: a plain read does not wait and takes the consent for standing."""
        async with db.transaction() as tx:
            who = await a_citizen(tx, vault, clock)
            consent = await citizens.give_consent(tx, who, "metro", SCENARIO, clock.now())
        async with db.transaction() as tx, db.transaction() as award:
            await citizens.withdraw_consent(tx, who, consent.consent_id, clock.now())
            stands = await award.fetchval(
                "SELECT count(*) FROM consent WHERE citizen_id = $1 AND withdrawn_at IS NULL", who
            )
            assert stands == 1


class TestBindings:
    async def test_a_code_becomes_a_token_for_its_partner(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        who = await a_citizen(tx, vault, clock)
        code = await a_code(tx, clock, who)
        token = await citizens.exchange_code(tx, vault, "metro", code, "user-1", clock)
        assert len(token) == 43
        hashed = sm3(token.encode())
        reporter = (await citizens.reporters_of(tx, "metro", [hashed, bytes(32)]))[hashed]
        assert reporter.citizen_id == who
        assert reporter.consents.keys() == {SCENARIO}
        assert await citizens.reporters_of(tx, "bus", [hashed]) == {}

    async def test_a_second_consent_keeps_the_token(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        who = await a_citizen(tx, vault, clock)
        codes = [await a_code(tx, clock, who) for _ in range(2)]
        tokens = {
            await citizens.exchange_code(tx, vault, "metro", code, "user-1", clock)
            for code in codes
        }
        assert len(tokens) == 1
        other = await a_code(tx, clock, who)
        assert (
            await citizens.exchange_code(tx, vault, "metro", other, "user-2", clock) not in tokens
        )

    async def test_used_expired_withdrawn_unknown_and_foreign_codes(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        who = await a_citizen(tx, vault, clock)
        used = await a_code(tx, clock, who)
        await citizens.exchange_code(tx, vault, "metro", used, "user-1", clock)
        late = await a_code(tx, clock, who)
        for partner, code, status in (
            ("metro", used, 410),
            ("metro", "unknown", 404),
            ("bus", late, 404),
        ):
            with pytest.raises(Problem) as refused:
                await citizens.exchange_code(tx, vault, partner, code, "user-1", clock)
            assert refused.value.status == status
        clock.advance(minutes=10)
        with pytest.raises(Problem) as refused:
            await citizens.exchange_code(tx, vault, "metro", late, "user-1", clock)
        assert refused.value.status == 410

    async def test_a_withdrawn_consent_spends_its_codes(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        who = await a_citizen(tx, vault, clock)
        code = await a_code(tx, clock, who)
        consent = (await citizens.consents_of_citizen(tx, who, before=None, limit=10))[0]
        await citizens.withdraw_consent(tx, who, consent.consent_id, clock.now())
        with pytest.raises(Problem) as refused:
            await citizens.exchange_code(tx, vault, "metro", code, "user-1", clock)
        assert refused.value.name == "code-spent"

    async def test_a_user_reference_stands_for_one_citizen(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        lin, chen = [await a_citizen(tx, vault, clock, name) for name in ("lin", "chen")]
        await citizens.exchange_code(
            tx, vault, "metro", await a_code(tx, clock, lin), "user-1", clock
        )
        with pytest.raises(Problem) as refused:
            await citizens.exchange_code(
                tx, vault, "metro", await a_code(tx, clock, chen), "user-1", clock
            )
        assert (refused.value.status, refused.value.name) == (409, "user-ref-bound")

    async def test_one_of_two_simultaneous_exchanges_wins(
        self, db: Database, vault: Vault, clock: FixedClock
    ) -> None:
        async with db.transaction() as tx:
            code = await a_code(tx, clock, await a_citizen(tx, vault, clock))

        async def exchange() -> int:
            try:
                async with db.transaction() as tx:
                    await citizens.exchange_code(tx, vault, "metro", code, "user-1", clock)
            except Problem as problem:
                return problem.status
            return 201

        answers = await asyncio.gather(*(exchange() for _ in range(5)))
        assert sorted(answers) == [201, 410, 410, 410, 410]


class TestProviders:
    @pytest.mark.parametrize(
        ("code", "name"),
        [
            ("lin-1", "lin"),
            ("lin-" + "ab" * 16, "lin"),
            ("lin-3f2504e0-4f89-41d3-9a0c-0305e82c3301", "lin"),
            ("old-town-lin-7", "old-town-lin"),
            ("林晓-x", "林晓"),
        ],
    )
    async def test_name_of_a_sandbox_code(self, code: str, name: str) -> None:
        assert (await providers.Sandbox().identify(code)).ref == name

    @pytest.mark.parametrize("code", ["", "lin", "lin-", "-1", " -1", "x" * 65 + "-1"])
    async def test_other_codes_are_refused(self, code: str) -> None:
        with pytest.raises(Problem) as refused:
            await providers.Sandbox().identify(code)
        assert refused.value.status == 401

    async def test_a_full_code_works_once(self, tx: Tx, clock: FixedClock) -> None:
        await providers.spend_code(tx, "sandbox", "lin-1", clock)
        await providers.spend_code(tx, "sandbox", "lin-2", clock)
        with pytest.raises(Problem):
            await providers.spend_code(tx, "sandbox", "lin-1", clock)

    def test_an_installation_has_the_providers_it_is_set_up_for(self, clock: FixedClock) -> None:
        def names(**changes: Any) -> set[str]:
            return set(citizens.providers_of(Settings(**changes), clock))

        assert names(profile="demo") == {"sandbox"}
        assert names(profile="production") == set()
        assert names(profile="production", wechat_app_id="wx", wechat_secret="s") == {"wechat"}


class TestLogins:
    async def test_tokens_open_the_door_until_they_expire(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        who = await a_citizen(tx, vault, clock)
        tokens = await citizens.logins.open_login(tx, who, clock)
        assert await citizens.logins.citizen_of(tx, tokens.access_token, clock) == who
        assert await citizens.logins.citizen_of(tx, tokens.refresh_token, clock) is None
        clock.advance(minutes=30)
        assert await citizens.logins.citizen_of(tx, tokens.access_token, clock) is None

    async def test_a_reused_refresh_token_ends_the_family(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        who = await a_citizen(tx, vault, clock)
        first = await citizens.logins.open_login(tx, who, clock)
        second = await citizens.logins.refresh(tx, first.refresh_token, clock)
        assert second is not None
        apart = await citizens.logins.open_login(tx, who, clock)
        assert await citizens.logins.refresh(tx, first.refresh_token, clock) is None
        for dead in (first, second):
            assert await citizens.logins.citizen_of(tx, dead.access_token, clock) is None
        assert await citizens.logins.refresh(tx, second.refresh_token, clock) is None
        assert await citizens.logins.citizen_of(tx, apart.access_token, clock) == who

    async def test_logging_out_ends_the_family(
        self, tx: Tx, vault: Vault, clock: FixedClock
    ) -> None:
        tokens = await citizens.logins.open_login(tx, await a_citizen(tx, vault, clock), clock)
        await citizens.logins.log_out(tx, tokens.access_token, clock)
        assert await citizens.logins.citizen_of(tx, tokens.access_token, clock) is None
        assert await citizens.logins.refresh(tx, tokens.refresh_token, clock) is None

    async def test_refresh_tokens_expire(self, tx: Tx, vault: Vault, clock: FixedClock) -> None:
        tokens = await citizens.logins.open_login(tx, await a_citizen(tx, vault, clock), clock)
        clock.advance(days=30)
        assert await citizens.logins.refresh(tx, tokens.refresh_token, clock) is None


class TestAnswers:
    async def test_the_first_answer_again(self, tx: Tx, vault: Vault, clock: FixedClock) -> None:
        made: list[int] = []

        async def make() -> citizens.answers.Answer:
            made.append(1)
            return citizens.answers.Answer(201, f"answer {len(made)}".encode())

        def request(**change: str) -> citizens.answers.Request:
            given = {"scope": "lin POST /consents", "key": "k", "body": "a"} | change
            return citizens.answers.Request(given["scope"], given["key"], given["body"].encode())

        async def once(**change: str) -> bytes:
            answer = await citizens.answers.once(tx, vault, clock, request(**change), make)
            return answer.body

        assert await once() == await once() == b"answer 1"
        assert await once(scope="chen POST /consents") == b"answer 2"
        assert await once(key="k2") == b"answer 3"
        with pytest.raises(Problem) as refused:
            await once(body="b")
        assert refused.value.status == 409

    async def test_twins_get_one_answer(
        self, db: Database, vault: Vault, clock: FixedClock
    ) -> None:
        made: list[int] = []

        async def make() -> citizens.answers.Answer:
            await asyncio.sleep(0.05)
            made.append(1)
            return citizens.answers.Answer(200, b"once")

        async def send() -> bytes:
            async with db.transaction() as tx:
                request = citizens.answers.Request("lin", "k", b"")
                return (await citizens.answers.once(tx, vault, clock, request, make)).body

        assert await asyncio.gather(*(send() for _ in range(5))) == [b"once"] * 5
        assert len(made) == 1


def test_codes_live_ten_minutes() -> None:
    from backend.citizens.bindings import CODE_LIFE

    assert timedelta(minutes=10) == CODE_LIFE
