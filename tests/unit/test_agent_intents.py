"""What people ask for, on a real disk: one at a time, whole or not at all, read again when it is another."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from trunkline.agent.directory import lasting
from trunkline.agent.intents import Drains, Intents, change_drains, intents_file, read_drains
from trunkline.errors import IntentsError, TrunklineError
from trunkline.model.intent import Drain


def drain(member: str, lasts_s: float | None = None) -> Drain:
    since = datetime.now(UTC)
    until = None if lasts_s is None else since + timedelta(seconds=lasts_s)
    return Drain(scope="demo", member=member, who="ana", since=since, until=until, why="kernel")


def ask(directory: Path, *drains: Drain) -> None:
    change_drains(directory, lambda kept: (*kept, *drains))


def members(intents: Intents) -> list[str]:
    return [it.drain.member for it in intents.look() if it.is_in_force]


def test_it_is_beside_what_lasts() -> None:
    assert intents_file(Path("/run/trunkline")) == Path("/var/lib/trunkline/intents.json")
    assert intents_file(Path("/srv/balancer")) == Path("/srv/balancer/intents.json")
    assert lasting(Path("/run/user/1000/trunkline")) == Path.home() / ".local/state/trunkline"


def test_it_is_read_again_when_it_is_another(tmp_path: Path) -> None:
    intents = Intents(tmp_path / "run")
    assert members(intents) == []
    ask(tmp_path / "run", drain("pg2"))
    assert members(intents) == ["pg2"]
    ask(tmp_path / "run", drain("pg3"))
    assert members(intents) == ["pg2", "pg3"]
    before = change_drains(tmp_path / "run", lambda kept: ())
    assert {it.member for it in before} == {"pg2", "pg3"}
    assert members(intents) == []
    assert intents_file(tmp_path / "run").stat().st_mode & 0o777 == 0o600


def test_a_new_agent_knows_what_was_asked_for(tmp_path: Path) -> None:
    ask(tmp_path, drain("pg2"), drain("pg3", lasts_s=-1))
    with structlog.testing.capture_logs() as logs:
        assert members(Intents(tmp_path)) == ["pg2"]
    assert [(it["event"], it["member"]) for it in logs] == [("a drain is asked for", "pg2")]


def test_a_damaged_file_changes_nothing_and_is_told_once(tmp_path: Path) -> None:
    ask(tmp_path, drain("pg2"))
    intents, file = Intents(tmp_path), intents_file(tmp_path)
    assert members(intents) == ["pg2"]
    text = file.read_text()
    with structlog.testing.capture_logs() as logs:
        for broken in (text[:-5], "", "[]"):
            file.write_text(broken)
            assert members(intents) == ["pg2"]
            assert members(intents) == ["pg2"]
    assert [it["log_level"] for it in logs] == ["error"]
    with pytest.raises(IntentsError, match="damaged"):
        ask(tmp_path, drain("pg3"))
    assert file.read_text() == "[]", "nobody writes over it"
    with structlog.testing.capture_logs() as logs:
        file.write_text(text)
        assert members(intents) == ["pg2"]
    assert [it["event"] for it in logs] == ["what was asked for can be read again"]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    ask(tmp_path, drain("pg2"))
    intents, file = Intents(tmp_path), intents_file(tmp_path)
    assert members(intents) == ["pg2"]
    file.unlink()
    file.mkdir()
    assert members(intents) == ["pg2"]
    with pytest.raises(TrunklineError):
        read_drains(tmp_path)
    file.rmdir()
    assert members(intents) == [], "who takes the file away asks for nothing"


def test_those_who_ask_at_once_follow_each_other(tmp_path: Path) -> None:
    def ask_ten(number: int) -> None:
        for turn in range(10):
            ask(tmp_path, drain(f"pg{number}-{turn}"))

    threads = [threading.Thread(target=ask_ten, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({it.member for it in read_drains(tmp_path)}) == 40


def test_who_fails_while_changing_leaves_it_as_it_was(tmp_path: Path) -> None:
    ask(tmp_path, drain("pg2"))

    def fail(kept: Drains) -> Drains:
        raise IntentsError("no")

    with pytest.raises(IntentsError):
        change_drains(tmp_path, fail)
    assert [it.member for it in read_drains(tmp_path)] == ["pg2"]
