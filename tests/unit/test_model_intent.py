"""A drain in words, and when it is over."""

from datetime import UTC, datetime, timedelta

import pytest

from trunkline.model.intent import Drain, asked

SINCE = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("until", "why", "words"),
    [
        (None, "", "drained by ana"),
        (None, "kernel", "drained by ana: kernel"),
        (SINCE + timedelta(hours=2), "kernel", "drained by ana until 14:30: kernel"),
        (SINCE + timedelta(hours=12), "", "drained by ana until 2026-11-28 00:30"),
    ],
)
def test_words(until: datetime | None, why: str, words: str) -> None:
    assert Drain(scope="demo", member="pg2", who="ana", since=SINCE, until=until, why=why).words == words


def test_it_is_over_at_its_moment() -> None:
    until = SINCE + timedelta(seconds=60)
    drain = Drain(scope="demo", member="pg2", who="ana", since=SINCE, until=until)
    assert asked(drain, SINCE.timestamp()).remaining_s == 60.0
    assert asked(drain, until.timestamp() - 0.1).is_in_force
    assert not asked(drain, until.timestamp()).is_in_force
    assert asked(Drain(scope="demo", member="pg2", who="ana", since=SINCE), 1e12).is_in_force
