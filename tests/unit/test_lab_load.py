"""Looping clients against a server that takes connections and never says a word."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from trunkline.lab.load import REFUSED, UNANSWERED, attempt_write, looping_clients

STATEMENT = "select 1"


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The connection string of a server that only listens."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"host={host} port={port} dbname=postgres user=postgres sslmode=disable"
    server.close()


async def test_a_client_with_a_deadline_gives_up(silent: str) -> None:
    attempt = await attempt_write(silent, STATEMENT, client=3, deadline_s=0.1)
    assert (attempt.outcome, attempt.client) == (UNANSWERED, 3)
    assert 0.1 <= attempt.ended - attempt.began < 5


async def test_a_port_where_nobody_listens_refuses() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    attempt = await attempt_write(f"host=127.0.0.1 port={port} user=postgres", STATEMENT, deadline_s=5)
    assert attempt.outcome == REFUSED


async def test_attempts_say_whose_they_are_and_those_under_way_are_awaited(silent: str) -> None:
    async with looping_clients(silent, 3, statement=STATEMENT, deadline_s=0.2) as load:
        await asyncio.sleep(0.01)
    assert sorted(attempt.client for attempt in load.attempts) == [0, 1, 2]
    assert {attempt.outcome for attempt in load.attempts} == {UNANSWERED}


async def test_an_interrupted_block_does_not_wait_for_who_is_held(silent: str) -> None:
    async def interrupted() -> None:
        async with looping_clients(silent, 3, statement=STATEMENT):
            await asyncio.sleep(0.05)
            raise KeyError

    with pytest.raises(KeyError):
        await asyncio.wait_for(interrupted(), timeout=10)
