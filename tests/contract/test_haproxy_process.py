"""`trunkline run` over real HAProxies: reloaded, killed at every moment, taken over, asked to stop in every way.

Each test starts whole processes several times; those that every change should pass are in `test_run_serves`.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from contract_subjects import Postgres
from quick_pulse import PULSE_S
from supervised import Supervised

from trunkline.testing.fake_cluster import FakeCluster

pytestmark = [pytest.mark.haproxy, pytest.mark.slow]


async def rounds(run: Supervised, cluster: FakeCluster, count: int) -> None:
    """Back when the cluster has been asked so often from now on."""
    asked = cluster.apis["pg1"].requests
    wanted = asked.count("/cluster") + count
    await run.until(lambda: asked.count("/cluster") >= wanted)


async def test_sessions_end_when_the_drain_is_over(run: Supervised, postgres: dict[str, Postgres]) -> None:
    await run.serve()
    reader, _ = await run.session(postgres)
    began = asyncio.get_running_loop().time()
    run.process.send_signal(signal.SIGINT)
    assert await reader.read() == b""
    assert 0.45 <= asyncio.get_running_loop().time() - began < 5
    assert await run.ended() == 0


async def test_one_request_that_arrives_twice_is_one(run: Supervised, postgres: dict[str, Postgres]) -> None:
    run.settings["haproxy"]["drain_timeout_s"] = 2
    await run.serve()
    reader, _ = await run.session(postgres)
    run.process.send_signal(signal.SIGTERM)
    await run.said("asked to stop")
    run.process.send_signal(signal.SIGTERM)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(), 0.5)
    assert await run.ended() == 0


async def test_a_second_signal_ends_at_once(run: Supervised, postgres: dict[str, Postgres]) -> None:
    run.settings["haproxy"]["drain_timeout_s"] = 600
    await run.serve()
    reader, _ = await run.session(postgres)
    run.process.send_signal(signal.SIGTERM)
    await run.said("asked to stop")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(), 0.5)  # the first one leaves sessions alone
    run.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert await run.ended() == 0
    assert run.family.pids == ()


async def test_haproxy_outlives_a_killed_supervisor_and_is_taken_over(
    run: Supervised, postgres: dict[str, Postgres], cluster: FakeCluster
) -> None:
    await run.serve()
    _, writer = await run.session(postgres)
    before = run.family
    run.process.kill()
    await run.ended()
    assert run.family == before
    await run.session(postgres)
    await run.start()
    await run.said("taken over")
    await rounds(run, cluster, 5)  # long enough to do what must not be done
    assert run.family == before, "taken over, not started anew nor reloaded"
    assert run.words.count("HAProxy serves") == 1
    assert not writer.is_closing()
    await run.stop()


async def test_what_changed_between_two_supervisors_is_applied(run: Supervised) -> None:
    await run.serve()
    run.process.kill()
    await run.ended()
    run.write({"stats": {"bind": [f"127.0.0.1:{run.ports[3]}"]}})
    await run.start()
    await run.said("HAProxy reloaded")
    await run.connect(run.ports[3])


@pytest.mark.parametrize("whom", ["master", "worker"])
async def test_haproxy_that_dies_is_started_again(run: Supervised, postgres: dict[str, Postgres], whom: str) -> None:
    await run.serve()
    before = run.family
    assert before.master is not None
    os.kill(before.master if whom == "master" else before.workers[0], signal.SIGKILL)
    await run.said("HAProxy serves again")
    assert run.family.master not in (None, before.master)
    await run.until(run.leads_to("pg1"))
    await run.session(postgres)


async def test_haproxy_that_keeps_dying_is_started_ever_later(run: Supervised) -> None:
    await run.serve()
    for times in (1, 2):
        master = run.family.master
        assert master is not None
        os.kill(master, signal.SIGKILL)
        await run.said("HAProxy serves again", times)
    assert '"after": "0 s"' in run.words
    assert '"after": "0.5 s"' in run.words


async def test_sighup_takes_new_settings(run: Supervised, postgres: dict[str, Postgres]) -> None:
    await run.serve()
    master = run.family.master
    await run.session(postgres)
    run.write({"stats": {"bind": [f"127.0.0.1:{run.ports[3]}"]}})
    run.process.send_signal(signal.SIGHUP)
    await run.said("the settings were read again")
    await run.connect(run.ports[3])
    assert run.family.master == master


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stats": {"bind": ["nowhere"], "user": "me"}}, ("stats.bind", "stats.user")),
        ({"haproxy": {"user": "nobody-of-that-name"}}, ("refuses the configuration", "nobody-of-that-name")),
        ({"scope": "another"}, ("another", "demo")),
    ],
    ids=["settings", "haproxy", "scope"],
)
async def test_sighup_with_bad_settings_changes_nothing(
    run: Supervised, changed: dict[str, object], words: tuple[str, ...]
) -> None:
    await run.serve()
    before, files = run.family, {path: path.read_bytes() for path in run.directory.glob("haproxy.*")}
    run.write(changed)
    run.process.send_signal(signal.SIGHUP)
    await run.said("the settings in force stay")
    assert all(word in run.words for word in words), run.words
    assert "Traceback" not in run.words
    assert run.family == before
    assert {path: path.read_bytes() for path in run.directory.glob("haproxy.*")} == files


async def test_an_unreachable_api_is_waited_for(run: Supervised, cluster: FakeCluster) -> None:
    for api in cluster.apis.values():
        await api.refuse()
    await run.start()
    await run.said("waiting for the cluster")
    await asyncio.sleep(3 * PULSE_S)
    assert run.words.count("waiting for the cluster") == 1
    for api in cluster.apis.values():
        await api.listen()
    await run.until(run.leads_to("pg1"))


async def test_waiting_can_be_ended(run: Supervised, cluster: FakeCluster) -> None:
    for api in cluster.apis.values():
        await api.refuse()
    await run.start()
    await run.said("waiting for the cluster")
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0


async def test_a_restart_without_the_listed_api_keeps_the_members(run: Supervised, cluster: FakeCluster) -> None:
    run.settings["patroni"] = [cluster.apis["pg3"].url]
    await run.serve()
    await run.stop()
    await cluster.apis["pg3"].refuse()
    await run.start()
    await run.until(run.leads_to("pg1"))
    assert await run.knows("pg1", "pg2", "pg3")()


async def test_members_that_are_silent_are_named(run: Supervised, cluster: FakeCluster) -> None:
    await run.serve()
    await cluster.apis["pg2"].refuse()
    await run.said("a member is not reached")
    assert '"member": "pg2"' in run.words
    assert await run.leads_to("pg1")()
    await cluster.apis["pg2"].listen()
    await run.said("a member is reached again")


async def test_what_the_cluster_changes_is_one_reload_at_most(run: Supervised, cluster: FakeCluster) -> None:
    await run.serve()
    cluster.config["postgresql"] = {"parameters": {"max_connections": 200}}
    await run.said("HAProxy reloaded")
    assert "sessions per server 92 -> 192" in run.words
    cluster.stories["pg3"].port += 1
    await run.said("HAProxy has its new members")
    assert "pg3 moved from" in run.words
    assert run.words.count("HAProxy reloaded") == 1


async def test_a_member_that_is_listed_no_more_stays_for_a_while(run: Supervised, cluster: FakeCluster) -> None:
    await run.serve()
    story = cluster.stories.pop("pg3")
    await cluster.apis["pg3"].refuse()
    await run.said('"member": "pg3"')
    assert await run.knows("pg1", "pg2", "pg3")()
    cluster.stories["pg3"] = story
    await cluster.apis["pg3"].listen()
    await run.said("a member is reached again")
    assert "HAProxy reloaded" not in run.words


async def test_the_wrong_cluster_is_refused(run: Supervised) -> None:
    run.settings["scope"] = "another"
    await run.start()
    assert await run.ended() == 2
    assert "belongs to the cluster 'demo', not to 'another'" in run.words


async def test_what_haproxy_refuses_is_said_in_its_words(run: Supervised) -> None:
    run.settings["haproxy"]["user"] = "nobody-of-that-name"
    await run.start()
    assert await run.ended() == 1
    assert "[ALERT]" in run.words
    assert str(run.directory / "haproxy.cfg") in run.words
    assert not (run.directory / "haproxy.cfg").exists()


async def test_one_directory_has_one_supervisor(run: Supervised) -> None:
    await run.serve()
    first = run.process.pid
    await run.start()
    assert await run.ended() == 1
    assert f"another trunkline run (pid {first})" in run.words
    assert await run.leads_to("pg1")()


@pytest.mark.parametrize("moment", ["configured", "started", "listening"])
async def test_a_kill_in_the_middle_of_the_start_leaves_nothing_in_the_way(run: Supervised, moment: str) -> None:
    moments: dict[str, Callable[[], Any]] = {
        "configured": (run.directory / "haproxy.cfg").exists,
        "started": lambda: run.family.pids,
        "listening": run.view,
    }
    await run.start()
    await run.until(moments[moment])
    run.process.kill()
    await run.ended()
    await run.start()
    await run.until(lambda: run.heeds(signal.SIGTERM))  # what the first has left may serve long before
    await run.until(run.leads_to("pg1"))
    await run.stop()


async def test_a_signal_is_heeded_before_the_command_is_loaded(run: Supervised) -> None:
    """What an earlier run has left behind would live on, had the signal ended Python instead of the service."""
    await run.serve()
    run.process.kill()
    await run.ended()
    await run.start("-m", "trunkline")
    await run.until(lambda: run.heeds(signal.SIGTERM))
    await run.stop()
