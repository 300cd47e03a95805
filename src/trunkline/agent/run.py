"""`trunkline run` put together: the directory, the program, the signals, and the tasks that never end.

The only place that knows all parts; it decides nothing. SIGTERM and SIGINT let sessions end for a while, a second one
ends them at once, SIGHUP reads the settings again.
"""

import asyncio
import resource
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog

from trunkline.adapters import check_log, strangers
from trunkline.adapters.files import lock, read_text
from trunkline.adapters.haproxy_binary import HAProxyBinary, find_haproxy
from trunkline.adapters.haproxy_process import HAProxyProcess, take_over
from trunkline.adapters.listening import require_free
from trunkline.adapters.process_table import command_line, family, file_limit
from trunkline.adapters.systemd import notify
from trunkline.agent.configuration import wanted_endpoints
from trunkline.agent.directory import prepare
from trunkline.agent.keeper import Keeper, Place
from trunkline.agent.offspring import Offspring, end_orphan
from trunkline.agent.supervisor import Supervisor
from trunkline.agent.tasks import Tasks
from trunkline.agent.watchdog import stay_well
from trunkline.config.settings import Settings
from trunkline.errors import HAProxyError, TrunklineError
from trunkline.model.desired import HostFacts, Paths
from trunkline.plan.balancer import check_log_name
from trunkline.plan.paths import run_paths

LOCK = "lock"
ONE_REQUEST_S = 0.3
"""Programs that stand between (timeout, make) pass a signal on and send it to the whole group, too: one wish, twice."""

log = structlog.get_logger()


class Signals:
    """What the outside has asked for."""

    def __init__(self) -> None:
        self.stop, self.stop_at_once, self.read_settings = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._asked_at = 0.0

    def listen(self) -> None:
        """Take SIGTERM, SIGINT and SIGHUP from now on, those first that have waited (`trunkline.cli.main`)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self.read_settings.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))

    def _stop(self) -> None:
        now = time.monotonic()
        if not self.stop.is_set():
            self._asked_at = now
            self.stop.set()
        elif now - self._asked_at > ONE_REQUEST_S:
            self.stop_at_once.set()


async def run(
    settings: Settings, directory: Path, load_settings: Callable[[], Settings], agent_command: Sequence[str]
) -> None:
    """Keep a HAProxy for these settings until SIGTERM; nothing of it runs on. `load_settings` is called at SIGHUP,
    `agent_command` begins an agent that reads the same settings.

    Raises TrunklineError for what keeps HAProxy from its first start; once it serves, nothing ends it but a signal.
    """
    signals = Signals()
    signals.listen()
    prepare(directory, is_shared=settings.haproxy.socket_group is not None)
    with lock(directory / LOCK) as is_alone:
        if not is_alone:
            pid = (read_text(directory / LOCK) or "").strip()
            raise HAProxyError(f"another trunkline run (pid {pid}) uses {directory}", hint="stop it, or choose --dir")
        place = _place(settings, directory)
        require_free(wanted_endpoints(settings), ours=family(place.paths).pids)
        supervisor = Supervisor(Keeper(place, await _taken_over(place)), settings)
        offspring = None
        await end_orphan(directory)
        if settings.agent.enabled:
            offspring = Offspring(agent_command, check_log.bind(check_log_name(place.paths)))
        async with Tasks() as to_the_end:
            to_the_end.start("stay well", stay_well)  # while sessions may end, too
            try:
                await _supervise(supervisor, signals, load_settings, offspring)
            finally:
                notify("STOPPING=1")
                drain_timeout_s = supervisor.settings.haproxy.drain_timeout_s
                await supervisor.keeper.stop(drain_timeout_s=drain_timeout_s, at_once=signals.stop_at_once)


async def _supervise(
    supervisor: Supervisor, signals: Signals, load_settings: Callable[[], Settings], offspring: Offspring | None
) -> None:
    async with Tasks() as tasks:
        supervisor.start(tasks)
        if offspring is not None:
            tasks.start("keep the agent running", partial(offspring.keep, supervisor.keeper.serves))
            tasks.start("hear of strangers", partial(strangers.listen, offspring.listener, supervisor.met))
        read = partial(_read_settings, supervisor, signals, load_settings, tasks, offspring)
        tasks.start("read settings on SIGHUP", read)
        tasks.start("tell systemd", partial(_tell_ready, supervisor.keeper))
        await tasks.until(signals.stop)
        log.info("asked to stop; asked again it stops at once")


async def _read_settings(
    supervisor: Supervisor,
    signals: Signals,
    load_settings: Callable[[], Settings],
    tasks: Tasks,
    offspring: Offspring | None,
) -> NoReturn:
    while True:
        await signals.read_settings.wait()
        signals.read_settings.clear()
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            await supervisor.adopt(load_settings(), tasks)
            if offspring is not None:
                offspring.renew()
            log.info("the settings were read again")
        except TrunklineError as error:
            log.error("the settings in force stay", why=error.message, hint=error.hint or None)
        if supervisor.keeper.serves.is_set():
            notify("READY=1")


async def _tell_ready(keeper: Keeper) -> NoReturn:
    await keeper.serves.wait()
    notify("READY=1\nSTATUS=HAProxy serves")
    while True:
        await asyncio.Event().wait()


def _place(settings: Settings, directory: Path) -> Place:
    binary = find_haproxy(settings.haproxy.binary)
    paths = run_paths(directory, settings)
    log.info(f"found HAProxy {binary.words}", program=str(binary.path), directory=str(directory))
    return Place(directory=directory, paths=paths, binary=binary, host=_host(binary, paths))


def _host(binary: HAProxyBinary, paths: Paths) -> HostFacts:
    """With the smaller file limit of two: that of a HAProxy that already runs, and what the next would get."""
    _, own = resource.getrlimit(resource.RLIMIT_NOFILE)
    master = family(paths).master
    running = file_limit(master) if master is not None else None
    limits = [limit for limit in (own, running) if limit is not None and limit != resource.RLIM_INFINITY]
    return HostFacts(file_limit=min(limits, default=None), haproxy_version=binary.branch)


async def _taken_over(place: Place) -> HAProxyProcess | None:
    process = await take_over(place.paths)
    if process is not None:
        program = Path((*command_line(process.pid), "")[0])
        log.info("HAProxy already serves and is taken over", pid=process.pid)
        if program != place.binary.path:
            log.warning("it goes on with another program until it is started anew", program=str(program))
    return process
