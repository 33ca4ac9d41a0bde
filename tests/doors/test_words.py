"""What a citizen reads about an activity."""

import pytest

from backend.methodology import scenarios
from miniapp_api.words import REASONS, method_note, reason_in_words

SCENARIOS = scenarios()


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_each_refusal_of_a_scenario_has_its_own_sentence(scenario: str) -> None:
    for reason, sentence in SCENARIOS[scenario].refusals.items():
        assert reason_in_words(reason, None, scenario) == sentence
        assert any("一" <= character <= "鿿" for character in sentence)


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_common_refusals_need_no_scenario(reason: str) -> None:
    assert reason_in_words(reason, None) == REASONS[reason]


def test_the_same_reason_may_read_differently() -> None:
    rides = {name: reason_in_words("distance-too-long", None, name) for name in SCENARIOS}
    assert rides["transit.metro.trip"] != rides["bike.shared.ride"]


def test_what_has_no_sentence_is_named() -> None:
    assert "odd-one" in (reason_in_words("odd-one", None, "transit.metro.trip") or "")
    assert reason_in_words(None, "每日上限") == "已达“每日上限”,超出部分不计分。"
    assert reason_in_words(None, None) is None


def test_a_provisional_method_is_told() -> None:
    assert method_note({"approved"}) is None
    assert method_note(set()) is None
    assert "暂行" in (method_note({"approved", "provisional"}) or "")
