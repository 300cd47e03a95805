"""`trunkline apply` and `render` for a HAProxy that somebody else runs: judged first, then in place, then reloaded."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from supervised import free_ports

from trunkline.adapters.haproxy_binary import ask
from trunkline.adapters.haproxy_process import HAProxyProcess, start
from trunkline.adapters.process_table import family
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent import memory
from trunkline.config.settings import Settings
from trunkline.errors import HAProxyError
from trunkline.lab.binaries import find_haproxies
from trunkline.model.desired import Paths
from trunkline.operate.apply import KEPT, RELOAD_DUE, apply, diff, prepare
from trunkline.plan.paths import run_paths
from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy

HANDWRITTEN = "defaults\n    mode tcp\nlisten old\n    bind 127.0.0.1:{port}\n    timeout client 1s\n"


class Host:
    """A directory as /etc/haproxy, and one as /var/lib/trunkline."""

    def __init__(self, root: Path, cluster: FakeCluster, binary: Path) -> None:
        self.etc, self.memory, self.cluster, self.binary = root / "etc", root / "lib", cluster, binary
        self.etc.mkdir()
        self.ports = free_ports(3)
        self.running: HAProxyProcess | None = None

    def settings(self, **haproxy: object) -> Settings:
        primary, replicas, stats = (f"127.0.0.1:{port}" for port in self.ports)
        services = {"primary": {"bind": [primary]}, "replicas": {"bind": [replicas]}}
        return Settings.model_validate(
            {
                "clusters": [{"patroni": list(self.cluster.urls), "services": services}],
                "stats": {"bind": [stats], "user": "me", "password": "hush"},
                "haproxy": {"binary": str(self.binary), **haproxy},
            }
        )

    @property
    def paths(self) -> Paths:
        return run_paths(self.etc, self.settings())

    @property
    def files(self) -> dict[str, tuple[str, int]]:
        return {
            path.name: (path.read_text(), stat.S_IMODE(path.stat().st_mode))
            for path in sorted(self.etc.iterdir())
            if path.is_file() and path.suffix != ".pid"
        }

    async def run(self) -> None:
        self.running = await start(ask(self.binary), self.paths)

    async def knows(self) -> set[str]:
        view = await RuntimeSocket(self.paths.admin_socket).view()
        proxy = view.proxy("postgres_primary")
        return {one.name for one in proxy.servers if not one.is_backup} if proxy else set()


@pytest.fixture(params=find_haproxies(), ids=lambda it: "haproxy-" + ".".join(map(str, it.version[:2])))
async def host(request: pytest.FixtureRequest, directory: Path, cluster: FakeCluster) -> AsyncIterator[Host]:
    host = Host(directory, cluster, request.param.path)
    yield host
    if host.running is not None:
        await host.running.stop(drain_timeout_s=0, at_once=asyncio.Event())
    assert family(host.paths).pids == ()


async def test_files_are_written_where_nothing_runs(host: Host) -> None:
    prepared = await prepare(host.settings(), host.paths, host.memory)
    assert not prepared.is_in_sync
    assert host.files == {}, "looking touches nothing"
    assert not host.memory.exists()
    assert "not running" in await apply(prepared)
    assert {name: mode for name, (_, mode) in host.files.items()} == {
        "haproxy.cfg": 0o600,  # it holds a password
        "haproxy.state": 0o644,
        "trunkline.lua": 0o644,
    }
    assert (await prepare(host.settings(), host.paths, host.memory)).is_in_sync


async def test_a_running_one_is_reloaded_only_for_a_reason(host: Host) -> None:
    await apply(await prepare(host.settings(), host.paths, host.memory))
    await host.run()
    workers = family(host.paths).workers
    assert (await prepare(host.settings(), host.paths, host.memory)).is_in_sync
    assert family(host.paths).workers == workers
    host.cluster.stories.pop("pg3")
    (host.memory / memory.FILE).unlink()  # else pg3 would be kept for a while
    words = await apply(await prepare(host.settings(), host.paths, host.memory))
    assert "master socket" in words
    assert await host.knows() == {"pg1", "pg2"}


async def test_what_haproxy_refuses_leaves_all_as_it_was(host: Host) -> None:
    await apply(await prepare(host.settings(), host.paths, host.memory))
    await host.run()
    before = (host.files, family(host.paths))
    with pytest.raises(HAProxyError, match=r"\[ALERT\].*nobody-of-that-name"):
        await prepare(host.settings(user="nobody-of-that-name"), host.paths, host.memory)
    assert (host.files, family(host.paths)) == before


async def test_a_reload_that_fails_puts_the_files_back(host: Host) -> None:
    await apply(await prepare(host.settings(), host.paths, host.memory))
    await host.run()
    before = (host.files, await host.knows())
    host.cluster.stories["pg2"].port += 1
    prepared = await prepare(host.settings(), host.paths, host.memory)
    *others, config = prepared.configuration.files
    spoiled = replace(config, text=config.text + "garbage\n")
    prepared = replace(prepared, configuration=replace(prepared.configuration, files=(*others, spoiled)))
    with pytest.raises(HAProxyError, match="could not reload"):
        await apply(prepared)
    assert (host.files, await host.knows()) == before


async def test_a_reload_that_a_killed_run_owes_is_made_up_for(host: Host) -> None:
    await apply(await prepare(host.settings(), host.paths, host.memory))
    await host.run()
    (host.memory / RELOAD_DUE).touch()
    prepared = await prepare(host.settings(), host.paths, host.memory)
    assert not prepared.changed
    assert not prepared.is_in_sync
    workers = family(host.paths).workers
    await apply(prepared)
    assert family(host.paths).workers != workers
    assert (await prepare(host.settings(), host.paths, host.memory)).is_in_sync


async def test_what_a_person_wrote_is_kept_once(host: Host) -> None:
    config, kept = host.etc / "haproxy.cfg", host.etc / f"haproxy.cfg{KEPT}"
    config.write_text(HANDWRITTEN)
    await apply(await prepare(host.settings(), host.paths, host.memory))
    assert kept.read_text() == HANDWRITTEN
    host.cluster.stories["pg2"].port += 1
    await apply(await prepare(host.settings(), host.paths, host.memory))
    assert kept.read_text() == HANDWRITTEN


async def test_the_diff_shows_lines_and_no_passwords(host: Host) -> None:
    (host.etc / "haproxy.cfg").write_text(HANDWRITTEN)
    text = diff(await prepare(host.settings(), host.paths, None))
    assert "-listen old\n" in text
    assert "+frontend postgres_primary\n" in text
    assert "+    user me insecure-password ********\n" in text
    assert "hush" not in text


async def test_members_are_remembered_where_nobody_answers(host: Host) -> None:
    await apply(await prepare(host.settings(), host.paths, host.memory))
    before = host.files
    for api in host.cluster.apis.values():
        await api.refuse()
    prepared = await prepare(host.settings(), host.paths, host.memory)
    assert prepared.is_in_sync
    assert len(prepared.notes) == 3
    assert host.files == before


async def trunkline(*words: str | Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trunkline", *map(str, words)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_renders_what_apply_would_write(cluster: FakeCluster) -> None:
    url = cluster.urls[0]
    first, second = await trunkline("render", "--patroni", url), await trunkline("render", "haproxy", "--patroni", url)
    assert first == second
    assert first[0] == 0
    assert "server-state-file /etc/haproxy/trunkline.state" in first[1]
    assert "pg1" in (await trunkline("render", "state", "--patroni", url))[1]
    assert "core.register_action" in (await trunkline("render", "lua"))[1]


async def test_the_command_says_who_gave_no_answer(cluster: FakeCluster) -> None:
    url = cluster.urls[0]
    await cluster.apis["pg1"].refuse()
    code, out, err = await trunkline("render", "--patroni", url)
    assert (code, out) == (1, "")
    assert url in err
    assert "Traceback" not in err


async def test_the_command_checks_without_touching(host: Host) -> None:
    config = host.etc / "settings.yml"
    places = {"config": "haproxy.cfg", "lua_file": "trunkline.lua", "state_file": "haproxy.state"}
    lines = [f"  {name}: {host.etc / file}" for name, file in places.items()]
    config.write_text("\n".join([f"patroni: [{host.cluster.urls[0]}]", "haproxy:", f"  binary: {host.binary}", *lines]))
    code, out, err = await trunkline("apply", "--check", "--diff", "--config", config)
    assert code == 0, err
    assert f"would change: {host.etc / 'haproxy.cfg'}" in out
    assert "+frontend postgres_primary" in out
    assert list(host.files) == ["settings.yml"]
