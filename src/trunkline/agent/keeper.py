"""One HAProxy that is kept running, with the configuration that it was given last.

Two tasks meet here, one at a time: whoever brings a new configuration (`apply`), and the one that starts HAProxy again
when it has died (`keep`). What the configuration should be is decided elsewhere; what speaks against one is raised
before anything has changed.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog

from trunkline.adapters.files import current, install, read_text, write_private
from trunkline.adapters.haproxy_binary import HAProxyBinary
from trunkline.adapters.haproxy_process import HAProxyProcess, end_leftovers, start
from trunkline.adapters.listening import require_free
from trunkline.adapters.process_table import family
from trunkline.agent.changes import changes
from trunkline.agent.configuration import Configuration, require_accepted
from trunkline.errors import TrunklineError
from trunkline.model.desired import HostFacts, Paths

LOADED = "loaded"
"""The digest of what HAProxy runs with, for whoever takes it over."""

BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.5, 30.0
STEADY_S = 60.0
"""A HAProxy that has lived so long is started again at once, as one that has never died before is."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What stays the same as long as this HAProxy is kept."""

    directory: Path
    paths: Paths
    binary: HAProxyBinary
    host: HostFacts


class Keeper:
    """`process`: the HAProxy that was taken over, if there was one."""

    def __init__(self, place: Place, process: HAProxyProcess | None = None) -> None:
        self.place = place
        self.process = process
        self.serves = asyncio.Event()
        self._configuration: Configuration | None = None
        self._one_at_a_time = asyncio.Lock()
        if process is not None:
            self.serves.set()

    def __repr__(self) -> str:
        return f"Keeper({self.place.directory}, {self.process})"

    async def apply(self, wanted: Configuration, *, is_asked_for: bool = False) -> None:
        """Give HAProxy what it should be, if it differs from what it has, or if somebody asked. Raises TrunklineError
        and leaves everything as it was where that cannot be."""
        async with self._one_at_a_time:
            if self.process is not None and wanted.digest == self._loaded() and not is_asked_for:
                self._configuration = wanted
                return
            require_free(wanted.endpoints, ours=family(self.place.paths).pids)
            await asyncio.to_thread(require_accepted, self.place.binary, wanted)
            if self.process is None:
                await self._start(wanted)
            else:
                await self._reload(wanted, self.process)

    async def keep(self) -> NoReturn:
        """Start HAProxy again whenever it has ended."""
        await self.serves.wait()
        deaths, began = 0, time.monotonic()
        while True:
            process = self.process
            if process is None:
                raise RuntimeError("HAProxy was started, and there is none")
            await process.wait_ended()
            deaths = 0 if time.monotonic() - began > STEADY_S else deaths
            pause_s = backoff_s(deaths)
            log.error(f"HAProxy {process.ending}, it is started again", pid=process.pid, after=f"{pause_s:g} s")
            await asyncio.sleep(pause_s)
            began, deaths = time.monotonic(), deaths + 1
            while not await self._start_again(process):
                await asyncio.sleep(backoff_s(deaths))
                began, deaths = time.monotonic(), deaths + 1

    async def stop(self, *, drain_timeout_s: float, at_once: asyncio.Event) -> None:
        """Let HAProxy end; nothing of it runs on."""
        paths = self.place.paths
        if self.process is not None and not self.process.has_ended:
            within_s = 0.0 if at_once.is_set() else drain_timeout_s
            log.info("HAProxy takes no new sessions, open ones may end", within=f"{within_s:g} s")
            began = time.monotonic()
            await self.process.stop(drain_timeout_s=drain_timeout_s, at_once=at_once)
            log.info("HAProxy has stopped", after=f"{time.monotonic() - began:.1f} s")
        await end_leftovers(paths)
        for path in (paths.admin_socket, paths.master_socket, paths.pid):
            Path(str(path)).unlink(missing_ok=True)

    async def _start(self, wanted: Configuration) -> None:
        install(wanted.files)
        self.process = await start(self.place.binary, self.place.paths)
        self._note(wanted)
        process = wanted.balancer.process
        log.info(
            "HAProxy serves",
            pid=self.process.pid,
            **{service.proxy: ", ".join(map(str, service.binds)) for service in wanted.balancer.services},
            maxconn=f"{process.maxconn} ({process.maxconn_reason})",
        )
        self.serves.set()

    async def _reload(self, wanted: Configuration, process: HAProxyProcess) -> None:
        before = current(wanted.files)
        install(wanted.files)
        if not process.has_ended:  # else `keep` starts it with these files
            try:
                await process.reload()
            except TrunklineError:
                install(before)  # what is on disk is what runs
                raise
        known = self._configuration
        what = changes(known.balancer, wanted.balancer) if known else ("what was on disk was of an earlier run",)
        self._note(wanted)
        log.info("HAProxy reloaded", changed="; ".join(what) or "nothing, but somebody asked for it")

    async def _start_again(self, ended: HAProxyProcess) -> bool:
        async with self._one_at_a_time:
            try:
                if self._configuration is not None:
                    install(self._configuration.files)
                self.process = await start(self.place.binary, self.place.paths)
            except TrunklineError as error:
                log.error("HAProxy could not be started", why=error.message)
                return False
        ended.release()
        log.info("HAProxy serves again", pid=self.process.pid)
        return True

    def _loaded(self) -> str:
        return (read_text(self.place.directory / LOADED) or "").strip()

    def _note(self, configuration: Configuration) -> None:
        self._configuration = configuration
        write_private(self.place.directory / LOADED, configuration.digest + "\n")


def backoff_s(deaths: int) -> float:
    """How long to wait before the next start after so many deaths in quick succession."""
    return 0.0 if deaths == 0 else min(BACKOFF_FIRST_S * 2.0 ** (deaths - 1), BACKOFF_LAST_S)
