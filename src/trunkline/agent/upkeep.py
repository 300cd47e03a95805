"""Members of a HAProxy that the service manager runs: it is told of them, and the files of its next start agree.

Only members: whatever else differs from the settings is `trunkline apply`'s, and so is a configuration that a person
has written. While a `trunkline run` keeps that HAProxy, all of this is its own.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import structlog

from trunkline.adapters.files import differing, install, lock, read_text
from trunkline.adapters.haproxy_binary import HAProxyBinary, find_haproxy
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent import memory
from trunkline.agent.configuration import Configuration, Sources, configure, require_accepted
from trunkline.agent.discovery import Known, resolved
from trunkline.agent.keeper import SAFE_REMOVAL
from trunkline.agent.members import Members
from trunkline.agent.trouble import SOME_REASONS, Trouble
from trunkline.config.settings import Settings
from trunkline.errors import TrunklineError
from trunkline.model.cluster import ClusterView
from trunkline.model.desired import HostFacts, Paths
from trunkline.render.members import members_in, without_members

SUPERVISOR = "lock"
"""What `trunkline run` holds in its directory."""

OURS = "written by Trunkline"
LOOK_AGAIN_S = 10.0
"""Somebody may have run `trunkline apply`, or HAProxy may have been started again."""

APPLY = "`trunkline apply` makes them agree"

log = structlog.get_logger()


class Upkeep:
    """`host`: as `trunkline apply` has found it; `directory`: for what has to be remembered."""

    def __init__(self, settings: Settings, paths: Paths, host: HostFacts, directory: Path) -> None:
        self.changed = asyncio.Event()
        self._settings, self._paths, self._host, self._directory = settings, paths, host, directory
        self._members: Members | None = None
        self._binary: HAProxyBinary | None = None
        self._trouble = Trouble(
            "members are not followed", "members are followed again", level="error", reasons=SOME_REASONS
        )
        self._memory = Trouble("the members cannot be remembered", "the members are remembered again", level="error")

    async def run(self, knowns: Callable[[], tuple[Known | None, ...]]) -> NoReturn:
        """Bring what is known to HAProxy whenever it changes, and see members that have left to their end."""
        while True:
            is_tending = self._members is not None and self._members.unsettled.is_set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._members.pause_s if self._members and is_tending else LOOK_AGAIN_S):
                    await self.changed.wait()
            is_new = self.changed.is_set() or not is_tending
            self.changed.clear()
            clusters = [(chosen, it) for chosen, it in zip(self._settings.clusters, knowns(), strict=True) if it]
            if is_new and len(clusters) == len(self._settings.clusters):
                await self._bring(tuple(resolved(known) for _, known in clusters))
                self._memory.tell(memory.keep(self._directory, memory.as_text(clusters)))
            if self._members is not None:
                with suppress(TrunklineError):  # what is in the way is said when members change
                    await self._members.tend()

    async def _bring(self, views: tuple[ClusterView, ...]) -> None:
        with lock(self._directory / SUPERVISOR) as is_alone:
            if not is_alone:
                return
            try:
                problem = await self._adopt(views)
            except TrunklineError as error:
                problem = error.message
        self._trouble.tell(problem)

    async def _adopt(self, views: tuple[ClusterView, ...]) -> str:
        """What is in the way, "" for nothing."""
        # of hundreds of clusters it takes a third of a second, in which everything else goes on
        sources = Sources(settings=self._settings, clusters=views, host=self._host)
        wanted = await asyncio.to_thread(configure, sources, self._paths)
        before = read_text(Path(self._paths.config)) or ""
        if problem := _objection(before, wanted):
            return problem
        if self._binary is None or self._members is None:
            self._binary = find_haproxy(self._settings.haproxy.binary, with_wheel=False)
            runtime = RuntimeSocket(self._paths.admin_socket)
            self._members = Members(runtime, self._directory, may_remove=self._binary.version >= SAFE_REMOVAL)
        services = wanted.balancer.services
        self._members.resume(services, members_in(before))
        if differing(wanted.files):
            await asyncio.to_thread(require_accepted, self._binary, wanted)
            install(wanted.files)
            names = ", ".join(sorted({server.member for service in services for server in service.servers}))
            log.info("HAProxy's files have other members", members=names)
        await self._members.adopt(services)
        return ""


def _objection(before: str, wanted: Configuration) -> str:
    config, lua = wanted.balancer.paths.config, wanted.balancer.paths.lua
    texts = {file.path: file.text for file in wanted.files}
    if OURS not in before.partition("\n")[0]:
        return f"{config} was not written by Trunkline: `trunkline apply` would"
    if without_members(before) != without_members(texts[config]) or read_text(Path(lua)) != texts[lua]:
        return f"{config} differs from the settings in more than its members: {APPLY}"
    return ""
