"""What an operator reads afterwards: one line for each session, and one for each change of a server."""

import asyncio
import os
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import pytest

from tests.lab.role_change import leader_of, play, until
from tests.lab.session_log import NORMAL_END, end_of
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.lab.balancer import Balancer
from trunkline.lab.faults import KILLED_POSTMASTER

LASTS_S = 0.5
PATIENCE_S = 30.0
ALONE_S = 1.0
"""How long nothing more is said after what was waited for: a second line would be here by then."""

SESSION = re.compile(
    r"session client=(?P<client>\S+) frontend=(?P<frontend>\S+) server=(?P<server>\S+) via=(?P<via>\S+) .*"
    r"total_ms=(?P<total_ms>\d+) .*end=(?P<end>\S+)$",
    re.MULTILINE,
)
CHANGE = re.compile(r"Server (?P<server>\S+) is (?P<health>UP|DOWN|stopping)\b")
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Session = psycopg.AsyncConnection[tuple[object, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The two addresses of one session that PostgreSQL and its client know."""

    client: str
    via: str


def said_since(balancer: Balancer, begin: int) -> str:
    with balancer.log.open("rb") as log:
        log.seek(begin)
        return log.read().decode(errors="replace")


def lines_of(balancer: Balancer, begin: int, client: str) -> list[dict[str, str]]:
    """All that the log says of the sessions of one client's address."""
    found = SESSION.finditer(said_since(balancer, begin))
    return [each.groupdict() for each in found if each["client"] == client]


async def the_line_of(balancer: Balancer, begin: int, client: str) -> dict[str, str]:
    """The one line of this client's session."""
    await until(lambda: bool(lines_of(balancer, begin, client)), timeout_s=PATIENCE_S)
    await asyncio.sleep(ALONE_S)
    (line,) = lines_of(balancer, begin, client)
    assert said_since(balancer, begin).count(f"client={client} ") == 1
    return line


async def ends_of(session: Session) -> Ends:
    row = await (
        await session.execute(
            "select host(client_addr) || ':' || client_port from pg_stat_activity where pid = pg_backend_pid()"
        )
    ).fetchone()
    assert row is not None
    with socket.socket(fileno=os.dup(session.fileno())) as own:
        host, port = own.getsockname()[:2]
    return Ends(client=f"{host}:{port}", via=str(row[0]))


@pytest.mark.parametrize("service", ["primary", "replicas"])
async def test_a_session_is_one_line(balancer: Balancer, service: str) -> None:
    begin, began = end_of(balancer), time.monotonic()
    async with await psycopg.AsyncConnection.connect(balancer.conninfo(service), autocommit=True) as session:
        ends = await ends_of(session)
        row = await (await session.execute("select host(inet_server_addr()), pg_sleep(%s)", [LASTS_S])).fetchone()
        assert row is not None
    lasted_ms = (time.monotonic() - began) * 1000
    line = await the_line_of(balancer, begin, ends.client)
    proxy, _, name = line["server"].partition("/")
    assert (line["frontend"], proxy) == (f"postgres_{service}", f"postgres_{service}")
    assert balancer.lab.member(name).place.host == row[0]
    assert (line["via"], line["end"]) == (ends.via, NORMAL_END)
    assert LASTS_S * 1000 <= int(line["total_ms"]) <= lasted_ms + 100


async def test_the_line_says_who_has_ended_the_session(balancer: Balancer) -> None:
    """In order, as far as TCP knows, also when PostgreSQL hangs up on its client: it says goodbye."""
    runtime = RuntimeSocket(balancer.admin_socket)
    server = f"postgres_primary/{leader_of(balancer.lab)}"

    async def is_ended(session: Session) -> None:
        with pytest.raises(psycopg.OperationalError):
            await session.execute("select pg_terminate_backend(pg_backend_pid()), pg_sleep(10)")

    async def breaks_off(session: Session) -> None:
        with socket.socket(fileno=os.dup(session.fileno())) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        with socket.socket() as nowhere:  # libpq keeps its descriptor, and its goodbye goes there
            os.dup2(nowhere.fileno(), session.fileno())

    async def is_cut_off(session: Session) -> None:
        await runtime.command("set", "server", server, "health", "down")
        with pytest.raises(psycopg.OperationalError):
            await session.execute("select pg_sleep(10)")

    for end, how in ((NORMAL_END, is_ended), ("CD", breaks_off), ("D-", is_cut_off)):
        begin = end_of(balancer)
        session = await psycopg.AsyncConnection.connect(balancer.conninfo(), autocommit=True)
        ends = await ends_of(session)
        await how(session)
        assert (await the_line_of(balancer, begin, ends.client))["end"] == end


def changes(balancer: Balancer, begin: int) -> Counter[tuple[str, str]]:
    """How often the log says which change of a server."""
    return Counter((each["server"], each["health"]) for each in CHANGE.finditer(said_since(balancer, begin)))


async def until_changed(balancer: Balancer, begin: int, *wanted: tuple[str, str]) -> None:
    await until(lambda: changes(balancer, begin).keys() >= set(wanted), timeout_s=PATIENCE_S)
    await asyncio.sleep(ALONE_S)


async def test_a_change_of_a_server_is_one_line(balancer: Balancer) -> None:
    lab = balancer.lab
    name = min(lab.members.keys() - {leader_of(lab)})
    begin = end_of(balancer)
    gone, back = (f"postgres_replicas/{name}", "DOWN"), (f"postgres_replicas/{name}", "UP")
    await asyncio.to_thread(lab.kill_node, name)
    await until_changed(balancer, begin, gone)
    assert changes(balancer, begin) == {gone: 1}
    await asyncio.to_thread(lab.start_node, name)
    await until_changed(balancer, begin, back)
    # on its way it may run already and not yet qualify: no new sessions, which HAProxy calls stopping
    seen = changes(balancer, begin)
    assert set(seen.values()) == {1}, seen
    assert {server for server, _ in seen} == {gone[0]}


async def test_a_failover_is_one_line_for_each_server_and_each_session(
    balancer: Balancer, measured: Callable[[str], None]
) -> None:
    """Who was between two attempts to connect comes back through the hold: that line names it instead of a server.

    A client's port alone does not name a session: on loopback the kernel gives it away again a second later.
    """
    begin = end_of(balancer)
    change = await play(balancer, KILLED_POSTMASTER)
    names = {member.place.host: name for name, member in balancer.lab.members.items()}
    down, up = ((f"postgres_primary/{names[change.old]}", "DOWN"), (f"postgres_primary/{names[change.new]}", "UP"))
    await until_changed(balancer, begin, down, up)
    seen = {
        which: count for which, count in changes(balancer, begin).items() if which[0].startswith("postgres_primary/")
    }
    assert seen == {down: 1, up: 1}

    def sessions_of(lines: list[dict[str, str]]) -> Counter[tuple[str, str]]:
        return Counter((line["client"], line["via"]) for line in lines if line["server"] != "postgres_primary/hold")

    def logged() -> list[dict[str, str]]:
        return [each.groupdict() for each in SESSION.finditer(said_since(balancer, begin))]

    attempts = len(change.load.attempts)
    await until(lambda: sum(sessions_of(logged()).values()) >= attempts, timeout_s=10)  # the last ones have just ended
    lines = logged()
    returned = [line["client"] for line in lines if line["server"] == "postgres_primary/hold"]
    sessions = sessions_of(lines)
    measured(f"{len(change.load.attempts)} attempts, {len(lines)} lines, {len(returned)} ways back to the hold")
    assert set(sessions.values()) == {1}
    assert len(sessions) >= attempts  # the loops break off what they are at when they end
    assert set(returned) <= {client for client, _ in sessions}
