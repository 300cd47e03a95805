"""One HAProxy that is kept running, with the configuration that it was given last.

Three tasks meet here, one at a time: whoever brings a new configuration (`apply`), the one that starts HAProxy again
when it has died (`keep`), and the one that looks after members that have left (`tend`). What the configuration should
be is decided elsewhere; what speaks against one is raised before anything has changed. Where only members differ,
HAProxy is not reloaded: it is told of them, and its files are rewritten for its next start.
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
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent.changes import changes
from trunkline.agent.configuration import Configuration, require_accepted
from trunkline.agent.members import Members
from trunkline.agent.trouble import SOME_REASONS, Trouble
from trunkline.errors import RuntimeSocketError, TrunklineError
from trunkline.model.desired import HostFacts, Paths
from trunkline.plan.balancer import lua_socket

LOADED = "loaded"
"""The digests of what HAProxy runs with, with and without its members, for whoever takes it over."""

SAFE_REMOVAL = (2, 8, 4)
"""Older ones may end with a segmentation fault when a server is removed whose last sessions have just ended
(haproxy#2323): there it waits for a reload."""

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
        runtime = RuntimeSocket(place.paths.admin_socket)
        self._members = Members(runtime, place.directory, may_remove=place.binary.version >= SAFE_REMOVAL)
        self._configuration: Configuration | None = None
        self._lua_sockets = {lua_socket(place.paths, None), None}
        self._one_at_a_time = asyncio.Lock()
        self._tending = Trouble(
            "members that have left are not looked after", "members that have left are looked after", level="error"
        )
        self._starting = Trouble("HAProxy could not be started", "", level="error", reasons=SOME_REASONS)
        if process is not None:
            self.serves.set()

    def __repr__(self) -> str:
        return f"Keeper({self.place.directory}, {self.process})"

    async def apply(self, wanted: Configuration, *, is_asked_for: bool = False) -> None:
        """Give HAProxy what it should be, if it differs from what it has, or if somebody asked. Raises TrunklineError
        and leaves everything as it was where that cannot be."""
        async with self._one_at_a_time:
            digest, skeleton = self._loaded()
            if self.process is not None and wanted.digest == digest and not is_asked_for:
                if self._configuration is None:
                    self._members.resume(wanted.balancer.services)
                self._know(wanted)
                return
            require_free(wanted.endpoints, ours=family(self.place.paths).pids)
            await asyncio.to_thread(require_accepted, self.place.binary, wanted)
            if self.process is None:
                await self._start(wanted)
            elif wanted.skeleton != skeleton or is_asked_for or not await self._change_members(wanted, self.process):
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

    async def tend(self) -> NoReturn:
        """See members that have left to their end."""
        while True:
            await self._members.unsettled.wait()
            await asyncio.sleep(self._members.pause_s)
            async with self._one_at_a_time:
                process, configuration = self.process, self._configuration
                if process is None or process.has_ended or configuration is None:
                    continue  # whatever is started next has no member that has left
                try:
                    if await self._members.tend():
                        await self._reload(configuration, process)
                except TrunklineError as error:
                    self._tending.tell(error.message)
                else:
                    self._tending.tell("")

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
        for path in {paths.admin_socket, paths.master_socket, paths.pid, *self._lua_sockets}:
            if path is not None:
                Path(path).unlink(missing_ok=True)

    async def _start(self, wanted: Configuration) -> None:
        install(wanted.files)
        self.process = await start(self.place.binary, self.place.paths)
        self._note(wanted)
        self._members.begin(wanted.balancer.services)
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
        what = self._what_changes(wanted)
        self._note(wanted)
        self._members.begin(wanted.balancer.services)
        log.info("HAProxy reloaded", changed="; ".join(what) or "nothing, but it was asked for")

    async def _change_members(self, wanted: Configuration, process: HAProxyProcess) -> bool:
        """Whether HAProxy has taken the members of this configuration. If not, its files are already in place."""
        install(wanted.files)
        if process.has_ended:
            return False
        try:
            await self._members.adopt(wanted.balancer.services)
        except RuntimeSocketError as error:
            log.warning("HAProxy does not take its new members, it is reloaded", why=error.message)
            return False
        what = self._what_changes(wanted)
        self._note(wanted)
        log.info("HAProxy has its new members", changed="; ".join(what))
        return True

    def _what_changes(self, wanted: Configuration) -> tuple[str, ...]:
        known = self._configuration
        return changes(known.balancer, wanted.balancer) if known else ("what was on disk was of an earlier run",)

    async def _start_again(self, ended: HAProxyProcess) -> bool:
        async with self._one_at_a_time:
            try:
                if self._configuration is not None:
                    install(self._configuration.files)
                self.process = await start(self.place.binary, self.place.paths)
            except TrunklineError as error:
                self._starting.tell(error.message)
                return False
        self._starting.tell("")
        ended.release()
        if self._configuration is not None:
            self._members.begin(self._configuration.balancer.services)
        log.info("HAProxy serves again", pid=self.process.pid)
        return True

    def _loaded(self) -> tuple[str, str]:
        digest, _, skeleton = (read_text(self.place.directory / LOADED) or "").partition("\n")
        return digest.strip(), skeleton.strip()

    def _know(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._lua_sockets.add(configuration.balancer.lua_socket)

    def _note(self, configuration: Configuration) -> None:
        self._know(configuration)
        write_private(self.place.directory / LOADED, f"{configuration.digest}\n{configuration.skeleton}\n")


def backoff_s(deaths: int) -> float:
    """How long to wait before the next start after so many deaths in quick succession."""
    return 0.0 if deaths == 0 else min(BACKOFF_FIRST_S * 2.0 ** (deaths - 1), BACKOFF_LAST_S)
