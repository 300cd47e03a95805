"""`trunkline run` over real HAProxies: it starts, serves and stops without a trace, or says what is in the way."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest
from contract_subjects import Postgres
from supervised import Supervised

pytestmark = pytest.mark.haproxy
READY = b"READY=1\nSTATUS=HAProxy serves"
WELL = b"WATCHDOG=1"


async def test_serves_and_ends_without_a_trace(run: Supervised, postgres: dict[str, Postgres]) -> None:
    await run.serve()
    await run.session(postgres)
    assert run.family.master is not None
    assert "found HAProxy" in run.words
    assert "maxconn" in run.words
    await run.stop()
    assert not list(run.directory.glob("*.sock*"))


async def test_the_service_manager_is_told_that_it_is_ready_and_well_until_the_last_session_has_ended(
    run: Supervised, postgres: dict[str, Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.directory.mkdir(mode=0o700)
    run.write({"haproxy": {**run.settings["haproxy"], "drain_timeout_s": 60}})
    said = list[bytes]()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(run.directory / "notify"))
        asyncio.get_running_loop().add_reader(manager, lambda: said.append(manager.recv(1000)))
        monkeypatch.setenv("NOTIFY_SOCKET", str(run.directory / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        await run.serve()
        _, client = await run.session(postgres)
        await run.until(lambda: READY in said)
        ready = said.index(READY)
        await run.until(lambda: said[ready:].count(WELL) >= 3)
        run.process.send_signal(signal.SIGTERM)
        await run.until(lambda: b"STOPPING=1" in said)
        await run.until(lambda: said[said.index(b"STOPPING=1") :].count(WELL) >= 3)
        client.close()
        assert await run.ended() == 0
        asyncio.get_running_loop().remove_reader(manager)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_leaves_nothing_in_a_chroot(run: Supervised, tmp_path: Path) -> None:
    """Where HAProxy 2.6 has a socket for its own Lua."""
    jail = tmp_path / "jail"
    jail.mkdir(mode=0o755)
    run.write({"haproxy": {**run.settings["haproxy"], "user": "nobody", "chroot": str(jail)}})
    await run.serve()
    await run.stop()
    assert not list(jail.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_leaves_nothing_in_a_chroot_that_it_had_before(run: Supervised, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for jail in (first, second):
        jail.mkdir(mode=0o755)
        run.write({"haproxy": {**run.settings["haproxy"], "user": "nobody", "chroot": str(jail)}})
        if jail is first:
            await run.serve()
    run.process.send_signal(signal.SIGHUP)
    await run.said("HAProxy reloaded")
    await run.stop()
    assert not [*first.iterdir(), *second.iterdir(), *run.directory.glob("*.sock*")]


async def test_a_taken_port_is_named_before_anything_is_touched(run: Supervised) -> None:
    with socket.create_server(("127.0.0.1", run.ports[1])):
        await run.start()
        assert await run.ended() == 1
    assert f"port {run.ports[1]} is taken" in run.words
    assert f"(pid {os.getpid()})" in run.words
    assert {path.name for path in run.directory.iterdir()} == {"lock"}
