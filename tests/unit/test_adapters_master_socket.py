"""Whether a reload has worked, from the bytes of 2.6 and 2.8."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from trunkline.adapters.master_socket import Reloads, alerts, parse_reloads, reload
from trunkline.adapters.runtime_socket import MasterSocket
from trunkline.errors import HAProxyError, RuntimeSocketError

PROC = """#<PID>          <type>          <reloads>       <uptime>        <version>
22429           master          {count} [failed: {failed}]   0d00h00m01s     2.8.25-5cf5d0683
# workers
22445           worker          1               0d00h00m01s     2.8.25-5cf5d0683
# programs

"""
NEVER = "never"
FAILURE = """Success=0
--
[NOTICE]   (22429) : haproxy version is 2.8.25
[ALERT]    (22429) : config : parsing [haproxy.cfg:130] : unknown keyword 'garbage'
"""


@asynccontextmanager
async def master(*told: str, on_reload: str) -> AsyncIterator[MasterSocket]:
    """A master that gives these answers to `show proc`, the last one again and again; none to whom it has NEVER."""
    answers, left = list(told), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode().strip()
        words = on_reload if line == "reload" else answers.pop(0) if len(answers) > 1 else answers[0]
        if words is NEVER:
            await reader.read()  # nothing comes but the end
            await left.wait()
        writer.write(words.encode())
        writer.close()

    with TemporaryDirectory() as name:
        server = await asyncio.start_unix_server(answer, Path(name) / "master.sock")
        async with server:
            yield MasterSocket(Path(name) / "master.sock")
            left.set()


def proc(count: int, failed: int = 0) -> str:
    return PROC.format(count=count, failed=failed)


def test_the_masters_line() -> None:
    assert parse_reloads(proc(2, 1)) == Reloads(count=2, failed=1)
    assert parse_reloads(PROC.replace(" [failed: {failed}]", "").format(count=3)) == Reloads(count=3, failed=0)
    with pytest.raises(RuntimeSocketError):
        parse_reloads("Unknown command")


async def test_a_reload_without_a_word_is_seen_in_the_counter() -> None:
    async with master(proc(1), proc(1), proc(2), on_reload="") as socket:
        await reload(socket, timeout_s=5)


async def test_a_question_that_the_old_master_took_with_it_is_asked_again() -> None:
    async with master(proc(1), NEVER, proc(2), on_reload="") as socket:
        await asyncio.wait_for(reload(socket), 4)  # less than an answer may take elsewhere


async def test_a_failure_is_told_in_haproxys_words() -> None:
    async with master(proc(1), proc(2, 1), on_reload=FAILURE) as socket:
        with pytest.raises(HAProxyError, match="unknown keyword 'garbage'"):
            await reload(socket, timeout_s=5)


async def test_a_failure_without_words_is_a_failure() -> None:
    async with master(proc(1), proc(2, 1), on_reload="") as socket:
        with pytest.raises(HAProxyError, match="its log says why"):
            await reload(socket, timeout_s=5)


async def test_a_reload_that_does_not_happen_is_not_waited_for_for_ever() -> None:
    async with master(proc(1), on_reload="") as socket:
        with pytest.raises(HAProxyError, match="has not reloaded within"):
            await reload(socket, timeout_s=0.2)


def test_alerts_are_what_matters() -> None:
    assert alerts(FAILURE).count("\n") == 0
    assert "garbage" in alerts(FAILURE)
