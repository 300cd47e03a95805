"""`trunkline agent` put together: attached to a HAProxy that somebody else runs, it steers and ends nothing with it.

A child of `trunkline run` takes the members from what its parent remembers, and ends with it; alone it learns them
itself. Two agents never steer one HAProxy: the second one waits for the first to end.
"""

import asyncio
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from trunkline.adapters import check_log, strangers
from trunkline.adapters.agent_page import JSON_TYPE, METRICS, METRICS_TYPE, PLAN, AgentPage, Page
from trunkline.adapters.files import lock, read_text
from trunkline.adapters.process_memory import give_back
from trunkline.adapters.runtime_socket import MasterSocket, RuntimeSocket
from trunkline.adapters.systemd import notify
from trunkline.agent import memory
from trunkline.agent.decided import Decided
from trunkline.agent.discovery import Known
from trunkline.agent.following import Following, followings_for, hint
from trunkline.agent.hearing import hear
from trunkline.agent.intents import Intents
from trunkline.agent.leader import LeaderSource
from trunkline.agent.library_store import LibraryStore
from trunkline.agent.metrics import Metrics
from trunkline.agent.recording import Recording
from trunkline.agent.steered import Guide, Knowns
from trunkline.agent.steering import Steering
from trunkline.agent.store import EtcdStore
from trunkline.agent.tasks import Tasks
from trunkline.agent.watchdog import stay_well
from trunkline.config.settings import ClusterSettings, Settings
from trunkline.errors import HAProxyError
from trunkline.model.desired import HostFacts, Paths
from trunkline.plan.balancer import agent_metrics_name, check_log_name

LOCK = "agent.lock"
WAIT_S = 0.5
ADMIN_TIMEOUT_S, MASTER_TIMEOUT_S = 1.0, 0.5
STUCK_S = 10.0
"""A cycle that has not begun for so long has got stuck: the service manager shall start us again."""

if TYPE_CHECKING:
    from trunkline.agent.upkeep import Upkeep

log = structlog.get_logger()


async def attach(
    settings: Settings,
    directory: Path,
    paths: Paths,
    host: HostFacts | None,
    *,
    checks_fd: int | None = None,
    strangers_fd: int | None = None,
) -> None:
    """Steer the HAProxy of these paths until SIGTERM. Raises TrunklineError where `directory` cannot be used.

    `host`: what the machine gives that HAProxy; None for a child of `trunkline run`, which keeps the files itself.
    `checks_fd`: a socket that HAProxy tells of failed checks (`trunkline.adapters.check_log`). `strangers_fd`: one on
    which the parent is told of members that it may not know (`trunkline.adapters.strangers`).
    """
    is_child = host is None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    ending = asyncio.create_task(_end_with_parent(stop), name="end with the parent") if is_child else None
    other = ""
    while not stop.is_set():
        with lock(directory / LOCK) as is_alone:
            if is_alone:
                checks = socket.socket(fileno=checks_fd) if checks_fd is not None else None
                upkeep = _upkeep(settings, paths, host, directory) if host is not None else None
                teller = socket.socket(fileno=strangers_fd) if strangers_fd is not None else None
                await _steer(settings, directory, paths, stop, checks, teller, upkeep)
                break
        pid = (read_text(directory / LOCK) or "").strip()
        if pid != other:
            log.info("another agent steers this HAProxy", pid=pid)
        other = pid
        await _wait(stop)
    if ending is not None:
        ending.cancel()


def _upkeep(settings: Settings, paths: Paths, host: HostFacts, directory: Path) -> "Upkeep":
    """What makes configurations is loaded where an agent makes any: 5 MB of memory less for a child."""
    from trunkline.agent.upkeep import Upkeep

    return Upkeep(settings, paths, host, directory)


async def _steer(
    settings: Settings,
    directory: Path,
    paths: Paths,
    stop: asyncio.Event,
    checks: socket.socket | None,
    teller: socket.socket | None,
    upkeep: "Upkeep | None",
) -> None:
    master = MasterSocket(paths.master_socket, timeout_s=MASTER_TIMEOUT_S) if paths.master_socket else None
    log.info("steering HAProxy", socket=paths.admin_socket)
    metrics, decided = Metrics(), Decided()
    steering = Steering(
        RuntimeSocket(paths.admin_socket, timeout_s=ADMIN_TIMEOUT_S),
        master,
        Recording(directory, metrics, decided),
        Intents(directory).look,
    )
    metrics.source_ages = steering.source_ages
    pages = {METRICS: Page(text=metrics.text, content_type=METRICS_TYPE)}
    pages[PLAN] = Page(text=decided.text, content_type=JSON_TYPE)
    followings = followings_for(settings, memory.load(directory), {}) if upkeep is not None else ()
    met = partial(strangers.tell, teller) if teller is not None else partial(hint, followings)
    guide = Guide(steering, settings, paths, source_for, met)
    async with AsyncExitStack() as stack:
        await _tell(stack, AgentPage(agent_metrics_name(paths), pages))
        tasks = await stack.enter_async_context(Tasks())
        if upkeep is None:
            knowns = partial(_remembered, settings, directory)
        else:
            for following in followings:
                tasks.start(f"follow {following.name}", partial(following.follow, upkeep.changed.set))
            knowns = partial(_followed, followings)
            tasks.start("keep members", partial(upkeep.run, knowns))
        tasks.start("guide", partial(guide.run, knowns, tasks))
        tasks.start("steer", steering.run)
        hearing = partial(check_log.listen, checks) if checks is not None else partial(hear, check_log_name(paths))
        tasks.start("hear of failed checks", partial(hearing, steering.hear, steering.wake))
        if upkeep is not None:  # the service manager has asked the parent of a child
            tasks.start("stay well", partial(stay_well, lambda: time.monotonic() - steering.cycled_at < STUCK_S))
            notify("READY=1\nSTATUS=steering HAProxy")
        give_back()
        await tasks.until(stop)
        if upkeep is not None:
            notify("STOPPING=1")
    await steering.release()


async def _tell(stack: AsyncExitStack, page: AgentPage) -> None:
    """Without them the rest goes on."""
    try:
        await stack.enter_async_context(page)
    except HAProxyError as error:
        log.error("no metrics and no decisions are told", why=error.message, hint=error.hint)


def source_for(chosen: ClusterSettings, scope: str) -> LeaderSource | None:
    """Who tells the leader key of this cluster."""
    if chosen.dcs.etcd is not None:
        return EtcdStore(chosen.dcs, scope)
    return LibraryStore(chosen.dcs.patroni_config, scope) if chosen.dcs.patroni_config is not None else None


def _remembered(settings: Settings, directory: Path) -> Knowns:
    """What the supervisor has written down."""
    text = memory.load(directory)
    return tuple(memory.recalled(text, chosen) for chosen in settings.clusters)


def _followed(followings: tuple[Following, ...]) -> tuple[Known | None, ...]:
    return tuple(following.known for following in followings)


async def _end_with_parent(stop: asyncio.Event) -> None:
    """The parent holds the other end of our stdin and says nothing; its end, however it comes, is the end of file."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    try:
        while await reader.read(1024):
            pass
    finally:
        stop.set()


async def _wait(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(WAIT_S):
            await stop.wait()
    except TimeoutError:
        pass
