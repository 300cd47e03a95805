"""The supervisor: HAProxy runs with what the clusters say, until it is told otherwise.

One task follows each cluster (`following`), one keeps HAProxy running (`keeper`), and one, here, compares: what HAProxy
should be, from settings and clusters, with what it was given. None decides anything about members; that is `discovery`
and `trunkline.plan`. Once HAProxy serves, nothing here ends it but a stop: what cannot be applied is logged and tried
again, and HAProxy goes on as it was (docs/adr/0006).
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import NoReturn

import structlog

from trunkline.agent import memory
from trunkline.agent.configuration import Sources, configure
from trunkline.agent.following import Following, followings_for, hint
from trunkline.agent.keeper import Keeper
from trunkline.agent.tasks import Tasks
from trunkline.agent.trouble import SOME_REASONS, Trouble
from trunkline.config.settings import Settings
from trunkline.errors import TrunklineError
from trunkline.model.cluster import ClusterView
from trunkline.plan.paths import run_paths

LOOK_AGAIN_S = 60.0
"""Clusters say when they change; certificates, which are copied for HAProxy, do not."""

RETRY_FIRST_S, RETRY_LAST_S = 5.0, 300.0

log = structlog.get_logger()


class Supervisor:
    """The clusters of some settings, and the HAProxy in front of them."""

    def __init__(self, keeper: Keeper, settings: Settings) -> None:
        self.keeper = keeper
        self.settings = settings
        self._followings = followings_for(settings, memory.load(keeper.place.directory), {})
        self._changed = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._refused = ""
        self._refusals = Trouble(
            "HAProxy goes on as it was", "HAProxy has what it should have again", level="error", reasons=SOME_REASONS
        )
        self._memory = Trouble("the members cannot be remembered", "the members are remembered again", level="error")
        self._retry_s = RETRY_FIRST_S

    def start(self, tasks: Tasks) -> None:
        """Begin all that never ends."""
        known = [member.name for view in self.views if view is not None for member in view.members]
        if known:
            log.info("members are known from before", members=", ".join(known))
            self._changed.set()
        tasks.start("reconcile", self._reconcile)
        tasks.start("keep HAProxy running", self.keeper.keep)
        tasks.start("tend members that have left", self.keeper.tend)
        self._follow(self._followings, tasks)

    @property
    def views(self) -> tuple[ClusterView | None, ...]:
        """The clusters as far as they are known, in the order of the settings."""
        return tuple(following.view for following in self._followings)

    def met(self, scope: str) -> None:
        """Somebody streams in this cluster who may be a member that is not known."""
        hint(self._followings, scope)

    async def adopt(self, settings: Settings, tasks: Tasks) -> None:
        """Go on with other settings, and reload. Raises TrunklineError where something speaks against them; then
        everything is as it was."""
        before = {following.chosen: following for following in self._followings}
        followings = followings_for(settings, self._memory_text(), before)
        await asyncio.gather(*(it.look_once() for it in followings if it.chosen not in before))
        async with self._one_at_a_time:
            views = tuple(following.view for following in followings)
            if any(view is not None for view in views):
                sources = Sources(settings=settings, clusters=views, host=self.keeper.place.host)
                await self.keeper.apply(configure(sources, self.keeper.place.paths), is_asked_for=True)
            old, self._followings = self._followings, followings
            self.settings, self._refused = settings, ""
            self._refusals.tell("")
        await tasks.cancel(*(_task_name(it) for it in old if it not in followings))
        self._follow((it for it in followings if it not in old), tasks)
        for what in self._fixed(settings):
            log.warning("takes effect with the next start only", setting=what)

    def _fixed(self, settings: Settings) -> list[str]:
        """Settings that a running supervisor cannot follow, where they differ from what it was started with."""
        place = self.keeper.place
        paths = run_paths(place.directory, settings)
        names = {"config": "haproxy.config", "lua": "haproxy.lua_file", "state": "haproxy.state_file"}
        names |= {"admin_socket": "haproxy.socket"}
        fixed = [setting for name, setting in names.items() if getattr(paths, name) != getattr(place.paths, name)]
        if settings.haproxy.binary not in (None, place.binary.path):
            fixed.append("haproxy.binary")
        if settings.directory not in (None, place.directory):
            fixed.append("directory")
        return fixed

    def _follow(self, followings: Iterable[Following], tasks: Tasks) -> None:
        for following in followings:
            tasks.start(_task_name(following), partial(self._follow_one, following))

    async def _follow_one(self, following: Following) -> NoReturn:
        """What ends a start (a member of another cluster, certificates that cannot be read) is only logged later."""
        trouble = Trouble("a cluster cannot be followed", "", level="error", reasons=SOME_REASONS)
        while True:
            try:
                await following.follow(self._changed.set)
            except TrunklineError as error:
                if not self.keeper.serves.is_set():
                    raise
                trouble.tell(error.message, cluster=following.name)
                await asyncio.sleep(RETRY_FIRST_S)

    async def _reconcile(self) -> NoReturn:
        while True:
            with suppress(TimeoutError):  # wait_for would lose a stop that comes in the same moment (Python < 3.12)
                async with asyncio.timeout(self._retry_s if self._refused else LOOK_AGAIN_S):
                    await self._changed.wait()
            self._changed.clear()
            if any(view is not None for view in self.views):
                await self._reconcile_once()

    async def _reconcile_once(self) -> None:
        self._remember()
        try:
            async with self._one_at_a_time:
                sources = Sources(settings=self.settings, clusters=self.views, host=self.keeper.place.host)
                await self.keeper.apply(configure(sources, self.keeper.place.paths))
        except TrunklineError as error:
            if not self.keeper.serves.is_set():
                raise  # whoever started us is told
            self._refuse(error)
        else:
            self._refused = ""
            self._refusals.tell("")

    def _refuse(self, error: TrunklineError) -> None:
        is_known = error.message == self._refused
        self._retry_s = min(self._retry_s * 2, RETRY_LAST_S) if is_known else RETRY_FIRST_S
        self._refused = error.message
        self._refusals.tell(error.message)

    def _memory_text(self) -> str:
        return memory.as_text((it.chosen, it.known) for it in self._followings if it.known is not None)

    def _remember(self) -> None:
        self._memory.tell(memory.keep(self.keeper.place.directory, self._memory_text()))


def _task_name(following: Following) -> str:
    return f"follow {following.chosen.scope or ', '.join(following.chosen.patroni)}"
