"""What people have asked for as text: there and back, and nothing but whole files."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import IntentsError
from trunkline.model.intent import Drain
from trunkline.wire.intents import read_intents, write_intents

zones = st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(min_value=datetime(2020, 1, 2), max_value=datetime(2100, 1, 1), timezones=zones)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
drains = st.builds(Drain, scope=texts, member=texts, who=texts, since=moments, until=st.none() | moments, why=texts)
ONE = Drain(scope="demo", member="pg2", who="ana", since=datetime(2026, 11, 27, 12, 30, tzinfo=UTC), why="kernel")


@given(st.lists(drains, max_size=4))
def test_there_and_back(some: list[Drain]) -> None:
    text = write_intents(some)
    assert set(read_intents(text)) == set(some)
    assert sorted(it.words for it in read_intents(text)) == sorted(it.words for it in some)


def test_the_zone_of_whoever_has_asked_is_kept() -> None:
    since = datetime(2026, 11, 27, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    drain = Drain(scope="demo", member="pg2", who="ana", since=since, until=since + timedelta(hours=2))
    (back,) = read_intents(write_intents([drain]))
    assert back.words == "drained by ana until 14:30"


def test_what_is_cut_short_is_damaged() -> None:
    text = write_intents([ONE])
    for length in range(len(text) - 1):
        with pytest.raises(IntentsError, match="damaged"):
            read_intents(text[:length])
    assert read_intents(text.rstrip()) == (ONE,)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"version": 1', '"version": 2', "another Trunkline"),
        ('"since": "2026-11-27T12:30:00Z"', '"since": "2026-11-27T12:30:00"', "without its zone"),
        ('"member": "pg2"', '"member": 7', "damaged"),
        ('"who": "ana",', "", "damaged"),
    ],
)
def test_what_cannot_be_understood(old: str, new: str, problem: str) -> None:
    text = write_intents([ONE])
    assert old in text
    with pytest.raises(IntentsError, match=problem):
        read_intents(text.replace(old, new))


def test_what_a_newer_one_has_added_is_passed_over() -> None:
    text = write_intents([ONE]).replace('"who": "ana"', '"who": "ana", "ticket": 7')
    assert read_intents(text) == (ONE,)


@given(st.text() | st.binary().map(lambda raw: raw.decode(errors="surrogateescape")))
def test_any_other_text_is_damaged(text: str) -> None:
    with pytest.raises(IntentsError):
        read_intents(text)
