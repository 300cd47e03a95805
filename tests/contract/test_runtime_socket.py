"""What `RuntimeSocket` says of a HAProxy, and what it says when there is none."""

import asyncio

import pytest
from contract_subjects import Subject

from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.errors import RuntimeSocketError
from trunkline.model.proxy import Health, ProxyState
from trunkline.wire.runtime import UnknownCommandError

NOBODY = 100_000
"""No proxy has this number, or a higher one."""


async def proxy(subject: Subject, name: str) -> ProxyState:
    found = (await subject.runtime.view()).proxy(name)
    assert found is not None
    return found


async def test_says_which_process_answers(subject: Subject) -> None:
    info = (await subject.runtime.view()).info
    assert info.pid == subject.pid
    assert info.version.split(".")[0].isdecimal()
    assert info.maxconn > 100
    assert info.uptime_s >= 0
    assert not info.is_stopping


async def test_lists_every_proxy_by_name(subject: Subject) -> None:
    view = await subject.runtime.view()
    names = [one.name for one in view.proxies if one.name != "hold_bell"]  # only before HAProxy 2.8
    assert names == ["agent_metrics", "postgres_primary", "postgres_replicas", "stats"]
    assert view.held == ()


async def test_some_proxies_are_as_among_all(subject: Subject) -> None:
    """Those that there are; a number that HAProxy does not know is no error."""

    def gist(proxy: ProxyState) -> tuple[object, ...]:
        servers = [(one.name, one.health, one.address, one.check_status) for one in proxy.servers]
        return proxy.name, proxy.frontend_status, proxy.backend_status, servers

    both = ["postgres_primary", "postgres_replicas"]
    everybody = {one.name: one for one in await subject.runtime.proxies()}
    for names in (both, ["postgres_replicas"], []):
        ids = [one for name in names for one in everybody[name].ids]
        found = await subject.runtime.some_proxies([*ids, NOBODY])
        assert [gist(one) for one in found] == [gist(everybody[name]) for name in names]


async def test_hundreds_of_proxies_are_more_than_one_line(subject: Subject) -> None:
    stats = next(one for one in await subject.runtime.proxies() if one.name == "stats")
    found = await subject.runtime.some_proxies([*range(NOBODY, NOBODY + 1000), *stats.ids])
    assert [one.name for one in found] == ["stats"]


async def test_tells_frontends_from_backends(subject: Subject) -> None:
    both, front = await proxy(subject, "postgres_primary"), await proxy(subject, "stats")
    assert (both.frontend_status, both.backend_status) == ("OPEN", "UP")
    assert (front.frontend_status, front.backend_status, front.servers) == ("OPEN", "", ())


async def test_only_the_primary_takes_writes(subject: Subject) -> None:
    servers = (await proxy(subject, "postgres_primary")).servers
    seen = {one.name: (one.health, one.check_status, one.check_code) for one in servers if not one.is_backup}
    assert seen == {
        "pg1": (Health.UP, "L7OK", 200),
        "pg2": (Health.DOWN, "L7STS", 503),
        "pg3": (Health.DOWN, "L7STS", 503),
    }


async def test_replicas_take_reads(subject: Subject) -> None:
    servers = (await proxy(subject, "postgres_replicas")).servers
    assert [one.name for one in servers if one.takes_sessions and not one.is_backup] == ["pg2", "pg3"]


async def test_a_server_leads_to_its_member(subject: Subject) -> None:
    server = (await proxy(subject, "postgres_primary")).server("pg1")
    assert server is not None
    host, port = subject.postgres["pg1"].address
    assert server.address == f"{host}:{port}"
    assert server.sessions_limit == 92
    assert server.check_description.startswith("Layer7 check passed")


async def test_the_way_to_the_hold_is_a_backup(subject: Subject) -> None:
    hold = (await proxy(subject, "postgres_primary")).server("hold")
    assert hold is not None
    assert hold.is_backup
    assert hold.health is Health.NO_CHECK


async def test_no_session_when_there_is_none(subject: Subject) -> None:
    assert await subject.runtime.sessions() == ()


async def test_says_whose_session_it_is(subject: Subject) -> None:
    client, towards_server = await subject.connect()
    (session,) = await subject.runtime.sessions()
    assert (session.client, session.towards_server) == (client, towards_server)
    assert (session.frontend, session.backend, session.server) == ("postgres_primary", "postgres_primary", "pg1")
    assert session.age_s < 5


async def test_counts_who_is_held(subject: Subject) -> None:
    await subject.hold_one()
    view = await subject.runtime.view()
    assert view.held_at("postgres_primary") == 1
    assert view.held_at("postgres_replicas") == 0
    primary = view.proxy("postgres_primary")
    assert primary is not None
    assert not any(one.takes_sessions for one in primary.servers if not one.is_backup)


async def test_a_session_that_is_held_has_no_server(subject: Subject) -> None:
    await subject.hold_one()
    assert await subject.runtime.sessions() == ()


async def test_an_unknown_command(subject: Subject) -> None:
    with pytest.raises(UnknownCommandError, match="does not know"):
        await subject.runtime.command("trunkline-unheard-of")


@pytest.mark.parametrize(
    ("where", "refusal"), [("nowhere/pg1", "No such backend"), ("postgres_primary/nobody", "No such server")]
)
async def test_a_refusal_is_in_haproxys_words(subject: Subject, where: str, refusal: str) -> None:
    with pytest.raises(RuntimeSocketError, match=refusal):
        await subject.runtime.command("set", "server", where, "state", "ready")


@pytest.mark.parametrize("token", ["a;b", "a\nb", "a b", "", "a\\;b", "<<", "\0"])
async def test_nothing_is_sent_that_holds_a_second_command(subject: Subject, token: str) -> None:
    with pytest.raises(RuntimeSocketError, match="cannot be part of a command") as error:
        await subject.runtime.command("set", "server", token)
    assert error.value.hint


async def test_many_ask_at_once(subject: Subject) -> None:
    views = await asyncio.gather(*(subject.runtime.view() for _ in range(10)))
    assert {view.info.pid for view in views} == {subject.pid}


async def test_a_stopped_process_is_not_waited_for(subject: Subject) -> None:
    impatient = RuntimeSocket(subject.runtime.path, timeout_s=0.2)
    subject.freeze()
    try:
        async with asyncio.timeout(2):
            with pytest.raises(RuntimeSocketError, match=r"no answer on .* within 0.2 s") as error:
                await impatient.view()
    finally:
        subject.thaw()
    assert error.value.hint
    assert (await subject.runtime.view()).info.pid == subject.pid


async def test_a_killed_process(subject: Subject) -> None:
    await subject.kill()
    with pytest.raises(RuntimeSocketError, match="nobody answers") as error:
        await subject.runtime.view()
    assert error.value.hint


async def test_a_socket_that_never_was(subject: Subject) -> None:
    absent = RuntimeSocket(subject.directory / "none.sock")
    with pytest.raises(RuntimeSocketError, match="there is no socket") as error:
        await absent.command("show", "info")
    assert error.value.hint
