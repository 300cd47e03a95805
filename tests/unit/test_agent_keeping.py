"""Small parts of the supervisor: how long it pauses, what its tasks do with errors, how its lines look."""

import asyncio
import io
import json
import os
import re
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import pytest
import structlog

from trunkline.adapters.journal import Journal
from trunkline.agent.directory import prepare
from trunkline.agent.keeper import BACKOFF_LAST_S, backoff_s
from trunkline.agent.logs import configure_logging
from trunkline.agent.tasks import Tasks
from trunkline.errors import HAProxyError


def test_pauses_grow_and_end_somewhere() -> None:
    pauses = [backoff_s(deaths) for deaths in range(12)]
    assert pauses[:4] == [0, 0.5, 1, 2]
    assert pauses == sorted(pauses)
    assert pauses[-1] == BACKOFF_LAST_S


async def test_an_error_of_ours_ends_the_run() -> None:
    async def fails() -> NoReturn:
        raise HAProxyError("no")

    async with Tasks() as tasks:
        tasks.start("it", fails)
        with pytest.raises(HAProxyError, match="no"):
            await asyncio.wait_for(tasks.until(asyncio.Event()), 5)


async def test_a_stop_ends_every_task() -> None:
    ended = asyncio.Event()

    async def waits() -> NoReturn:
        try:
            await asyncio.Event().wait()
            raise AssertionError
        finally:
            ended.set()

    stop = asyncio.Event()
    async with Tasks() as tasks:
        tasks.start("it", waits)
        asyncio.get_running_loop().call_later(0.01, stop.set)
        await asyncio.wait_for(tasks.until(stop), 5)
    assert ended.is_set()


async def test_a_defect_is_logged_once_and_the_task_begins_again() -> None:
    times, is_enough = 0, asyncio.Event()

    async def breaks() -> NoReturn:
        nonlocal times
        times += 1
        if times == 3:
            is_enough.set()
        raise ZeroDivisionError

    stream = io.StringIO()
    configure_logging(stream)
    async with Tasks(again_after_s=0.01) as tasks:
        tasks.start("counting", breaks)
        await asyncio.wait_for(tasks.until(is_enough), 5)
    structlog.reset_defaults()
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert line["task"] == "counting"
    assert "ZeroDivisionError" in line["exception"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_reasons_and_remedies_are_sentences_and_cannot_steer_a_terminal() -> None:
    stream = Terminal()
    configure_logging(stream)
    structlog.get_logger().error("no", why="two faults\n  first\x1b[2J", hint="mend them", cluster="demo")
    structlog.reset_defaults()
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert "no: two faults\n      first\\x1b[2J\n    HINT: mend them" in text
    assert "cluster=demo" in text


def test_elsewhere_a_line_is_json_with_all_there_is_to_know() -> None:
    stream = io.StringIO()
    configure_logging(stream)
    structlog.get_logger().error("no", why="two faults\nfirst\x1b[2J", hint="mend them", cluster="demo")
    structlog.reset_defaults()
    assert len(stream.getvalue().splitlines()) == 1
    line = json.loads(stream.getvalue())
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert (line["event"], line["hint"], line["cluster"]) == ("no", "mend them", "demo")
    assert line["why"] == "two faults\nfirst\x1b[2J"


def test_in_the_journal_an_entry_has_fields(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w+") as stream, TemporaryDirectory() as name:
        place = f"{name}/socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
            journald.bind(place)
            journald.settimeout(5)
            status = os.fstat(stream.fileno())
            monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
            configure_logging(stream, Journal(place))
            structlog.get_logger().warning("no", why="a fault", hint="mend it", service="postgres_primary")
            entry = journald.recv(4096)
        message = b"no: a fault\n    HINT: mend it"
        assert b"PRIORITY=4\n" in entry
        assert b"TRUNKLINE_SERVICE=postgres_primary\n" in entry
        assert entry.startswith(b"MESSAGE\n")
        assert message in entry
        structlog.get_logger().error("nobody listens")
        structlog.reset_defaults()
        stream.seek(0)
        assert stream.read().startswith("<3>nobody listens")


def test_a_reader_that_is_gone_stops_nobody() -> None:
    stream = io.StringIO()
    configure_logging(stream)
    stream.close()
    structlog.get_logger().info("still here")
    structlog.reset_defaults()


def test_a_directory_of_our_own_is_made(tmp_path: Path) -> None:
    prepare(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(HAProxyError, match="may be written by others"):
        prepare(tmp_path)


def test_a_path_that_is_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HAProxyError, match="too long for a unix socket"):
        prepare(tmp_path / ("x" * 90))


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HAProxyError, match="cannot use"):
        prepare(tmp_path / "file")
