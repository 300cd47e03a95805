"""What sticks in HAProxy is leased: the same to the fake and to each real one; what only a real one can show is in
`test_lease_in_haproxy`."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from contract_subjects import Subject

from trunkline.errors import RuntimeSocketError
from trunkline.model.command import Stick, Unstick, words
from trunkline.model.facts import Lease, Sticky, Stuck
from trunkline.model.proxy import Health
from trunkline.wire.lease import parse_lease

PROXY, SERVER = "postgres_primary", "pg1"
TARGET = f"{PROXY}/{SERVER}"
LEASE_MS = 1500
LONG_MS = 5000
PATIENCE_S = 10.0

SHOWN = {Sticky.CHECKS: Health.NO_CHECK, Sticky.DRAIN: Health.DRAIN, Sticky.MAINT: Health.MAINT}
"""How `show stat` says it of a server that is up."""


async def stick(subject: Subject, what: Sticky, target: str = TARGET) -> None:
    proxy, _, server = target.partition("/")
    await subject.runtime.command(*words(Stick(proxy=proxy, server=server, what=what, reason="")).split())


async def unstick(subject: Subject, what: Sticky, target: str = TARGET) -> None:
    proxy, _, server = target.partition("/")
    await subject.runtime.command(*words(Unstick(proxy=proxy, server=server, what=what, reason="")).split())


async def stuck(subject: Subject) -> tuple[Stuck, ...]:
    return (await subject.runtime.lease()).stuck


async def by_hand(subject: Subject, *tokens: str) -> None:
    await subject.runtime.command(*tokens)


async def set_state(subject: Subject, state: str) -> None:
    await by_hand(subject, "set", "server", TARGET, "state", state)


async def health(subject: Subject, name: str = SERVER) -> Health:
    proxy = (await subject.runtime.view()).proxy(PROXY)
    server = proxy.server(name) if proxy else None
    assert server is not None
    return server.health


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Back when something has become true."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await is_so():
                return
            await asyncio.sleep(0.01)


async def undone(subject: Subject, what: Sticky) -> None:
    """Back when the server is no longer so."""

    async def is_so() -> bool:
        return await health(subject) is not SHOWN[what]

    await until(is_so)


def noted(*kinds: Sticky) -> tuple[Stuck, ...]:
    return tuple(Stuck(proxy=PROXY, server=SERVER, what=what) for what in kinds)


async def test_says_who_answers(subject: Subject) -> None:
    assert await subject.runtime.renew(LEASE_MS) == Lease(pid=subject.pid)


@pytest.mark.parametrize("what", Sticky)
async def test_nothing_is_set_without_a_lease(subject: Subject, what: Sticky) -> None:
    with pytest.raises(RuntimeSocketError, match="there is no lease"):
        await stick(subject, what)
    assert await health(subject) is Health.UP
    assert await stuck(subject) == ()


@pytest.mark.parametrize("what", Sticky)
async def test_set_and_undone(subject: Subject, what: Sticky) -> None:
    await subject.runtime.renew(LONG_MS)
    for _ in range(2):  # again is the same
        await stick(subject, what)
        assert await health(subject) is SHOWN[what]
        assert (await subject.runtime.renew(LONG_MS)).stuck == noted(what)
    await unstick(subject, what)
    assert await health(subject) is not SHOWN[what]
    assert (await subject.runtime.renew(LONG_MS)).stuck == ()
    with pytest.raises(RuntimeSocketError, match=f"{TARGET} has no lease of {what}"):
        await unstick(subject, what)


async def test_a_server_that_is_down_is_drained_before_it_comes(subject: Subject) -> None:
    target = f"{PROXY}/pg2"
    await subject.runtime.renew(LONG_MS)
    await stick(subject, Sticky.DRAIN, target)
    assert await health(subject, "pg2") is Health.DOWN
    assert await stuck(subject) == (Stuck(proxy=PROXY, server="pg2", what=Sticky.DRAIN),)
    await by_hand(subject, "set", "server", target, "health", "up")
    assert await health(subject, "pg2") in (Health.DRAIN, Health.DOWN), "its next check says DOWN"
    assert await stuck(subject) == (Stuck(proxy=PROXY, server="pg2", what=Sticky.DRAIN),)
    await unstick(subject, Sticky.DRAIN, target)
    assert await stuck(subject) == ()


async def test_a_server_that_is_down_and_drained_by_hand_is_left_alone(subject: Subject) -> None:
    """Which `show stat` does not tell."""
    target = f"{PROXY}/pg2"
    await by_hand(subject, "set", "server", target, "state", "drain")
    assert await health(subject, "pg2") is Health.DOWN
    await subject.runtime.renew(LONG_MS)
    with pytest.raises(RuntimeSocketError, match=f"{target} was set to drain by hand"):
        await stick(subject, Sticky.DRAIN, target)
    assert await stuck(subject) == ()


async def test_a_look_comes_with_what_was_renewed(subject: Subject) -> None:
    await subject.runtime.renew(LONG_MS)
    await stick(subject, Sticky.DRAIN)
    lease, proxies = await subject.runtime.renew_and_look(LONG_MS)
    assert lease.pid == subject.pid
    assert lease.stuck == noted(Sticky.DRAIN)
    assert [proxy.name for proxy in proxies] == [proxy.name for proxy in await subject.runtime.proxies()]
    (found,) = (server for proxy in proxies for server in proxy.servers if (proxy.name, server.name) == (PROXY, SERVER))
    assert found.health is Health.DRAIN


@pytest.mark.parametrize("what", Sticky)
async def test_a_look_renews(subject: Subject, what: Sticky) -> None:
    await subject.runtime.renew_and_look(300)
    await stick(subject, what)
    for _ in range(6):
        await asyncio.sleep(0.1)
        assert (await subject.runtime.renew_and_look(300))[0].stuck == noted(what)
    await undone(subject, what)


@pytest.mark.parametrize("what", Sticky)
async def test_undone_when_nobody_renews(subject: Subject, what: Sticky) -> None:
    await subject.runtime.renew(LEASE_MS)
    await stick(subject, what)
    renewed = time.monotonic()
    await subject.runtime.renew(LEASE_MS)
    await asyncio.sleep(1.2)
    assert await health(subject) is SHOWN[what]
    await undone(subject, what)
    assert time.monotonic() - renewed < 2.0
    assert await stuck(subject) == ()


async def test_stays_while_it_is_renewed(subject: Subject) -> None:
    await subject.runtime.renew(300)
    await stick(subject, Sticky.DRAIN)
    for _ in range(10):
        await asyncio.sleep(0.1)
        assert (await subject.runtime.renew(300)).stuck == noted(Sticky.DRAIN)
    assert await health(subject) is Health.DRAIN


async def test_to_look_renews_nothing(subject: Subject) -> None:
    await subject.runtime.renew(400)
    await stick(subject, Sticky.DRAIN)

    async def is_over() -> bool:
        return not await stuck(subject)

    await until(is_over)
    assert await health(subject) is Health.UP


async def test_the_end_of_the_lease_undoes_everything(subject: Subject) -> None:
    await subject.runtime.renew(LONG_MS)
    await stick(subject, Sticky.CHECKS)
    await stick(subject, Sticky.DRAIN)
    await stick(subject, Sticky.MAINT, "postgres_replicas/pg2")
    assert len(await stuck(subject)) == 3
    assert (await subject.runtime.renew(0)).stuck == ()
    assert await health(subject) is Health.UP
    with pytest.raises(RuntimeSocketError, match="there is no lease"):
        await stick(subject, Sticky.DRAIN)


@pytest.mark.parametrize("what", Sticky)
@pytest.mark.parametrize("state", ["drain", "maint"])
async def test_what_was_set_by_hand_is_left_alone(subject: Subject, state: str, what: Sticky) -> None:
    await subject.runtime.renew(LONG_MS)
    await set_state(subject, state)
    with pytest.raises(RuntimeSocketError, match=f"{TARGET} was set to {state} by hand"):
        await stick(subject, what)
    with pytest.raises(RuntimeSocketError, match="has no lease"):
        await unstick(subject, what)
    assert (await subject.runtime.renew(0)).stuck == ()
    assert await health(subject) is SHOWN[Sticky(state)]


async def test_checks_that_were_suspended_by_hand_are_left_alone(subject: Subject) -> None:
    await subject.runtime.renew(LONG_MS)
    await by_hand(subject, "disable", "health", TARGET)
    with pytest.raises(RuntimeSocketError, match=f"the checks of {TARGET} were suspended by hand"):
        await stick(subject, Sticky.CHECKS)
    await subject.runtime.renew(0)
    assert await health(subject) is Health.NO_CHECK


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Sticky.DRAIN, "ready"), (Sticky.DRAIN, "maint"), (Sticky.MAINT, "ready"), (Sticky.MAINT, "drain")],
)  # what is set already cannot be seen to be set again
async def test_a_hand_that_comes_between_wins(subject: Subject, ours: Sticky, theirs: str) -> None:
    await subject.runtime.renew(LONG_MS)
    await stick(subject, ours)
    await set_state(subject, theirs)
    assert (await subject.runtime.renew(0)).stuck == ()
    await asyncio.sleep(0.3)
    assert await health(subject) is (Health.UP if theirs == "ready" else SHOWN[Sticky(theirs)])


async def test_a_hand_that_undoes_and_sets_again_wins(subject: Subject) -> None:
    await subject.runtime.renew(LONG_MS)
    await stick(subject, Sticky.DRAIN)
    await set_state(subject, "ready")
    await asyncio.sleep(0.3)  # nobody asks: it is noticed without
    await set_state(subject, "drain")
    assert (await subject.runtime.renew(0)).stuck == ()
    assert await health(subject) is Health.DRAIN


async def test_checks_that_a_hand_has_resumed_are_nobodys(subject: Subject) -> None:
    await subject.runtime.renew(LONG_MS)
    await stick(subject, Sticky.CHECKS)
    await by_hand(subject, "enable", "health", TARGET)
    assert await stuck(subject) == ()


async def test_maint_takes_the_place_of_drain_and_the_other_way_round(subject: Subject) -> None:
    await subject.runtime.renew(LONG_MS)
    await stick(subject, Sticky.DRAIN)
    await stick(subject, Sticky.MAINT)
    assert (await stuck(subject), await health(subject)) == (noted(Sticky.MAINT), Health.MAINT)
    await stick(subject, Sticky.DRAIN)
    assert await stuck(subject) == noted(Sticky.DRAIN)
    assert await health(subject) in (Health.DOWN, Health.DRAIN), "down until it was checked"
    await unstick(subject, Sticky.DRAIN)
    assert await stuck(subject) == ()


@pytest.mark.parametrize(
    "line",
    [
        "lease",
        "lease nan",
        "lease inf",
        "lease -1",
        "lease 1e3",
        "lease 0x10",
        "lease 5001",
        "lease 99999999999999999999",
        "lease 100 200",
        "stick",
        f"stick {TARGET}",
        f"stick {TARGET} everything",
        f"stick {TARGET} drain now",
        f"stick {SERVER} drain",
        "stick / drain",
        f"stick {TARGET}/more drain",
        f"stick nowhere/{SERVER} drain",
        f"stick {PROXY}/nobody drain",
        f"stick {PROXY}/hold drain",
        "stick a b c d e f g h i j k l m",
        "unstick",
        f"unstick {TARGET}",
        f"unstick {TARGET} everything",
    ],
)
async def test_what_makes_no_sense_is_refused_and_nothing_done(subject: Subject, line: str) -> None:
    await subject.runtime.renew(LONG_MS)
    before = (await subject.runtime.view()).proxies
    with pytest.raises(RuntimeSocketError, match=r"^HAProxy refused: \w"):
        await ask(subject, line)
    assert await stuck(subject) == ()
    after = (await subject.runtime.view()).proxies
    assert [it.health for one in after for it in one.servers] == [it.health for one in before for it in one.servers]
    await stick(subject, Sticky.DRAIN)  # the lease is what it was


async def ask(subject: Subject, line: str) -> None:
    reply = await subject.runtime.command("trunkline", *line.split())
    parse_lease(reply)


async def test_says_who_waits_and_how_long(subject: Subject) -> None:
    await subject.hold_one()
    await asyncio.sleep(0.2)
    lease = await subject.runtime.renew(LEASE_MS)
    assert lease.held == ((PROXY, 1),)
    ((proxy, waited_ms),) = lease.waited_ms
    assert proxy == PROXY
    assert 50 < waited_ms < 10_000


async def test_many_renew_at_once(subject: Subject) -> None:
    await subject.runtime.renew(LONG_MS)
    await stick(subject, Sticky.DRAIN)
    leases = await asyncio.gather(*(subject.runtime.renew(LONG_MS) for _ in range(20)))
    assert {it.stuck for it in leases} == {noted(Sticky.DRAIN)}
