"""The supervisor: HAProxy runs, and runs with what the clusters say, until it is told otherwise.

Two tasks share one HAProxy. *Reconcile* compares what HAProxy should be with what it was given and installs and reloads
where that differs; *keep* starts it again when it dies. A third follows each cluster. None decides anything about
members: that is `discovery` and `trunkline.plan`. Once HAProxy serves, nothing here ends it but a stop: what cannot be
applied is logged and tried again later, and HAProxy goes on as it was (docs/adr/0006).
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import structlog

from trunkline.adapters.files import current, install, read_text, write_private
from trunkline.adapters.haproxy_binary import HAProxyBinary
from trunkline.adapters.haproxy_process import HAProxyProcess, end_leftovers, start
from trunkline.adapters.systemd import notify
from trunkline.agent import memory
from trunkline.agent.changes import changes
from trunkline.agent.configuration import Configuration, configure, require_accepted
from trunkline.agent.following import Following
from trunkline.agent.tasks import Tasks
from trunkline.config.settings import Settings
from trunkline.errors import TrunklineError
from trunkline.model.cluster import ClusterView
from trunkline.model.desired import HostFacts, Paths

LOADED = "loaded"
"""Which configuration HAProxy runs with, for whoever takes it over."""

RETRY_FIRST_S, RETRY_LAST_S = 5.0, 300.0
BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.5, 30.0
STEADY_S = 60.0
"""Who has lived so long is started again at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What stays the same as long as this supervisor runs."""

    directory: Path
    paths: Paths
    binary: HAProxyBinary
    host: HostFacts


class Supervisor:
    """One HAProxy and the clusters behind it."""

    def __init__(self, place: Place, settings: Settings, process: HAProxyProcess | None) -> None:
        self.place = place
        self.settings = settings
        self.process = process
        self.configuration: Configuration | None = None
        self._followings = followings_for(settings, memory.load(place.directory), {})
        self._changed = asyncio.Event()
        self._started = asyncio.Event()
        self._haproxy = asyncio.Lock()
        self._refused = ""
        self._retry_s = RETRY_FIRST_S
        if process is not None:
            self._started.set()

    def start(self, tasks: Tasks) -> None:
        """Begin all that never ends."""
        if self.views != (None,) * len(self._followings):
            log.info("known from before", members=", ".join(m.name for v in self.views if v for m in v.members))
            self._changed.set()
        tasks.start("reconcile", self._reconcile)
        tasks.start("keep HAProxy running", self._keep)
        self._follow(tasks)

    @property
    def views(self) -> tuple[ClusterView | None, ...]:
        """The clusters as far as they are known, in the order of the settings."""
        return tuple(following.view for following in self._followings)

    async def adopt(self, settings: Settings, tasks: Tasks) -> None:
        """Go on with other settings, and reload; what speaks against them is raised, and nothing has changed."""
        before = {following.chosen: following for following in self._followings}
        followings = followings_for(settings, self._memory_text(), before)
        new = [following for following in followings if following not in self._followings]
        await asyncio.gather(*(following.look_once() for following in new))
        views = tuple(following.view for following in followings)
        await self._require_accepted(settings, views)
        await tasks.cancel(*map(_task_name, self._followings))
        self.settings, self._followings = settings, followings
        self._follow(tasks)
        async with self._haproxy:
            await self._apply(views, is_asked_for=True)

    async def stop(self, at_once: asyncio.Event) -> None:
        """Let HAProxy end; nothing of it runs on."""
        drain_timeout_s = self.settings.haproxy.drain_timeout_s
        if self.process is not None and not self.process.has_ended:
            log.info("stopping: no new sessions, those that are there may end", within=f"{drain_timeout_s:g} s")
            began = time.monotonic()
            await self.process.stop(drain_timeout_s=drain_timeout_s, at_once=at_once)
            log.info("HAProxy has stopped", after=f"{time.monotonic() - began:.1f} s")
        await end_leftovers(self.place.paths)
        for path in (self.place.paths.admin_socket, self.place.paths.master_socket, self.place.paths.pid):
            Path(str(path)).unlink(missing_ok=True)

    def _follow(self, tasks: Tasks) -> None:
        for following in self._followings:
            tasks.start(_task_name(following), lambda it=following: it.follow(self._changed.set))  # type: ignore[misc]

    async def _reconcile(self) -> NoReturn:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._retry_s if self._refused else None)
            self._changed.clear()
            if any(view is not None for view in self.views):
                await self._reconcile_once()

    async def _reconcile_once(self) -> None:
        self._remember()
        try:
            async with self._haproxy:
                await self._apply(self.views)
        except TrunklineError as error:
            if self.process is None:
                raise  # nothing serves yet: whoever started us is told
            self._retry_s = min(self._retry_s * 2, RETRY_LAST_S) if error.message == self._refused else RETRY_FIRST_S
            if error.message != self._refused:
                log.error("HAProxy goes on as it was", why=error.message)
            self._refused = error.message
        else:
            self._refused = ""

    async def _apply(self, views: tuple[ClusterView | None, ...], *, is_asked_for: bool = False) -> None:
        """Give HAProxy what it should be, if it differs from what it has."""
        place = self.place
        wanted = configure(self.settings, views, place.host, place.paths)
        if self.process is not None and wanted.digest == self._loaded() and not is_asked_for:
            self.configuration = wanted
            return
        await self._require_accepted(self.settings, views)
        before = current(wanted.files)
        install(wanted.files)
        if self.process is None:
            await self._start(wanted)
            return
        if not self.process.has_ended:  # else `keep` starts it with these files
            try:
                await self.process.reload()
            except TrunklineError:
                install(before)  # what is on disk is what runs
                raise
        self._note_loaded(wanted)
        words = changes(self.configuration.balancer, wanted.balancer) if self.configuration else ("the configuration",)
        log.info("HAProxy reloaded", changed="; ".join(words) or "nothing, but somebody asked for it")
        self.configuration = wanted

    async def _start(self, wanted: Configuration) -> None:
        process = wanted.balancer.process
        self.process = await start(self.place.binary, self.place.paths)
        self._note_loaded(wanted)
        self.configuration = wanted
        log.info(
            "HAProxy serves",
            pid=self.process.pid,
            **{service.proxy: ", ".join(map(str, service.binds)) for service in wanted.balancer.services},
            maxconn=f"{process.maxconn} ({process.maxconn_reason})",
        )
        notify("READY=1\nSTATUS=HAProxy serves")
        self._started.set()

    async def _keep(self) -> NoReturn:
        """Start HAProxy again whenever it has ended."""
        await self._started.wait()
        pause_s, began = 0.0, time.monotonic()
        while True:
            process = self.process
            if process is None:
                raise RuntimeError("HAProxy was started, and there is none")
            await process.wait_ended()
            has_lived_s = time.monotonic() - began
            pause_s = 0.0 if has_lived_s > STEADY_S else min(max(pause_s * 2, BACKOFF_FIRST_S), BACKOFF_LAST_S)
            log.error(f"HAProxy {process.ending}; it is started again", pid=process.pid, after=f"{pause_s:g} s")
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            async with self._haproxy:
                await self._restart(process)

    async def _restart(self, ended: HAProxyProcess) -> None:
        try:
            if self.configuration is not None:
                install(self.configuration.files)
            self.process = await start(self.place.binary, self.place.paths)
        except TrunklineError as error:
            log.error("HAProxy could not be started", why=error.message)
            return
        ended.release()
        log.info("HAProxy serves again", pid=self.process.pid)

    async def _require_accepted(self, settings: Settings, views: tuple[ClusterView | None, ...]) -> None:
        place = self.place
        await asyncio.to_thread(require_accepted, place.binary, settings, views, place.host, place.paths)

    def _loaded(self) -> str:
        return (read_text(self.place.directory / LOADED) or "").strip()

    def _note_loaded(self, configuration: Configuration) -> None:
        write_private(self.place.directory / LOADED, configuration.digest + "\n")

    def _memory_text(self) -> str:
        return memory.as_text((it.chosen, it.known) for it in self._followings if it.known is not None)

    def _remember(self) -> None:
        text = self._memory_text()
        if text != memory.load(self.place.directory):
            try:
                memory.store(self.place.directory, text)
            except TrunklineError as error:
                log.error("the members cannot be remembered", why=error.message)


def followings_for(settings: Settings, remembered: str, before: dict[object, Following]) -> tuple[Following, ...]:
    """One for each cluster of the settings; those whose questions stay the same go on, the others begin with what is
    remembered of their cluster."""
    return tuple(
        before.get(chosen) or Following(chosen, memory.recalled(remembered, chosen)) for chosen in settings.clusters
    )


def _task_name(following: Following) -> str:
    return f"follow {following.chosen.scope or ', '.join(following.chosen.patroni)}"
