"""The cycle: observe, decide, apply, and observe again what came of it, until nothing is left to do.

One task for one HAProxy, woken by whoever has news, and twice a second by the clock, since the lease has to be renewed.
Whose turn it is, is `turns`. What is known comes from `watching`, what follows from it is `trunkline.plan.steering`,
and whether it was done is what HAProxy says in the next cycle. HAProxy goes on alone with its own checks whenever this
one stops (docs/adr/0009).
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NoReturn, Protocol

import structlog

from trunkline.adapters.runtime_socket import MasterSocket, RuntimeSocket
from trunkline.agent.arrivals import Arrivals
from trunkline.agent.executor import Executor
from trunkline.agent.gone import Gone
from trunkline.agent.hearing import Hearing
from trunkline.agent.old_workers import OldWorkers
from trunkline.agent.rebalancing import Rebalancing
from trunkline.agent.trouble import SOME_REASONS, Trouble
from trunkline.agent.turns import Turns
from trunkline.agent.watching import Watcher
from trunkline.errors import RuntimeSocketError
from trunkline.model.command import Plan
from trunkline.model.desired import Service, ServiceKind
from trunkline.model.facts import Lease, Situation, Stuck, Workers
from trunkline.model.intent import Asked
from trunkline.model.proxy import ProxyState, ServerState
from trunkline.model.receipt import Deed
from trunkline.plan.counters import Counter, looked
from trunkline.plan.pace import choose_pace, is_in_flux
from trunkline.plan.replicas import ReplicaPolicy, closed_since, steer_replicas
from trunkline.plan.steering import judge_members, steer
from trunkline.wire.check_log import CheckReport

LEASE_MS = 1500
HINT_S = 1.0
"""So long after a hint the members are asked in a burst, even if the picture seems stable."""

MOST_REPEATS = 5
"""A cycle that did something is followed by another at once, this often in a row."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """One cluster behind this HAProxy: its services, who knows its facts, what settings ask of replicas, by proxy."""

    scope: str
    services: tuple[Service, ...]
    watcher: Watcher
    policies: Mapping[str, ReplicaPolicy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What HAProxy says in one cycle, and what people have asked for by then."""

    lease: Lease
    proxies: Mapping[str, ProxyState]
    workers: Workers
    asked: tuple[Asked, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One service in one cycle: what was known (at the moment `at_s`, seconds since the epoch), and what was done.

    `ended`: sessions that are gone from servers which must not have them, of the primary's service; `left`: those that
    are still there.
    """

    situation: Situation
    lease: Lease
    at_s: float
    deeds: tuple[Deed, ...]
    ended: int
    left: int


SourceAges = Mapping[tuple[str, str, str], float]
"""By scope ("" for all of them), source and member ("" for none): since it was last known to tell."""


class Observer(Protocol):
    """Who is told of each cycle."""

    def saw(self, seen: Seen) -> None:
        """One service of it."""

    def cycled(self, seconds: float, problem: str) -> None:
        """All of it; `problem`: why HAProxy could not be steered."""


class Steering:
    """Steers one HAProxy. `runtime` is its admin socket, `master` its master socket where there is one; `asked` says
    what people have asked for."""

    def __init__(
        self,
        runtime: RuntimeSocket,
        master: MasterSocket | None,
        observer: Observer,
        asked: Callable[[], tuple[Asked, ...]],
    ) -> None:
        self.turns = Turns()
        self.steered: tuple[Steered, ...] = ()
        self.cycled_at = time.monotonic()
        self._runtime = runtime
        self._executor = Executor(runtime, master)
        self._observer = observer
        self._asked = asked
        self._closed_since: dict[str, Mapping[str, float]] = {}
        self._stuck_since: dict[tuple[str, str, str], float] = {}
        self._rebalancing = Rebalancing(runtime)
        self._gone = Gone()
        self._up: dict[str, frozenset[str]] = {}
        self._counters: dict[str, Counter] = {}
        self._arrivals = Arrivals()
        self._old = OldWorkers(master, self._wake_those_of)
        self._hearing = Hearing(time.monotonic())
        self._observed_at = time.monotonic()
        self._flux_since: dict[str, float] = {}
        self._ids: dict[str, tuple[int, ...]] = {}
        self._ids_of = 0
        self._is_lost = False
        self._refusals: dict[str, Trouble] = {}
        self._warnings: dict[str, Trouble] = {}
        self._trouble = Trouble("HAProxy cannot be steered, its own checks go on", "HAProxy is steered again")

    def wake(self, scope: str | None = None) -> None:
        """There is news of one cluster, or of whatever concerns all."""
        self.turns.wake((scope,) if scope is not None else (cluster.scope for cluster in self.steered))

    def _wake_those_of(self, proxies: Collection[str]) -> None:
        for cluster in self.steered:
            if any(service.proxy in proxies for service in cluster.services):
                self.wake(cluster.scope)

    def hear(self, report: CheckReport) -> None:
        """HAProxy has told how a check of its own went."""
        self._hearing.told((report.proxy, report.server), time.monotonic())
        for cluster in self.steered:
            kinds = [service.kind for service in cluster.services if service.proxy == report.proxy]
            if kinds:
                if report.is_silent:
                    cluster.watcher.check_was_silent(report.server)
                if report.is_ok and kinds == [ServiceKind.PRIMARY]:
                    cluster.watcher.check_has_passed(report.server)
                cluster.watcher.hint()
                self.wake(cluster.scope)

    async def run(self) -> NoReturn:
        """Steer for as long as the task lives. The lease ends by itself."""
        while True:
            acted = await self.cycle(self.turns.due(self.steered))
            repeats = 0
            while acted and repeats < MOST_REPEATS:
                acted = await self.cycle(acted | self.turns.due(self.steered))
                repeats += 1
            self.turns.remember(acted)
            await self.turns.next(self.steered)

    async def release(self) -> None:
        """Undo at once whatever is leased; for an orderly end."""
        with suppress(RuntimeSocketError):
            await self._runtime.renew(0)

    async def cycle(self, due: set[str]) -> set[str]:
        """One round of these clusters, service by service; those where it has changed something."""
        began = time.monotonic()
        self.cycled_at = began
        try:
            if self._is_lost:
                await self._runtime.proxies()  # whose HAProxy does not say how it is, shall have no lease either
            clusters, view = await self._look(due)
        except RuntimeSocketError as error:
            self._trouble.tell(error.message)
            self._is_lost = True
            self.turns.remember(it.scope for it in self.steered)  # it may be another one when it answers again
            self._observer.cycled(time.monotonic() - began, error.message)
            return set()
        self._trouble.tell("")
        self._is_lost = False
        self._observed_at = time.monotonic()
        did: dict[str, tuple[Deed, ...]] = {}
        acted: set[str] = set()
        left = {cluster.scope for cluster in clusters}
        try:
            for cluster in clusters:
                left.discard(cluster.scope)
                for service in cluster.services:
                    now = time.monotonic()  # what was done for others has taken its time
                    situation = self._situation(cluster, service, view, now)
                    if situation is not None:
                        deeds = did[service.proxy] = await self._steer(cluster, situation, view, now)
                        acted |= {cluster.scope for deed in deeds if not deed.refusal}
                        self.turns.remember(cluster.scope for deed in deeds if deed.refusal)
        finally:
            self.turns.remember(left)
            _tell(did)
        self._observer.cycled(time.monotonic() - began, "")
        return acted

    async def _steer(self, cluster: Steered, situation: Situation, view: View, now: float) -> tuple[Deed, ...]:
        if situation.state.name == next(it.proxy for it in cluster.services if not it.serves_standby_leader):
            self._set_pace(cluster, situation, now)
        for server in self._arrivals.since_last(situation.state):
            cluster.watcher.came(server)
        if situation.kind is ServiceKind.PRIMARY:
            served = [it for it in situation.state.servers if it.takes_sessions and not it.is_backup]
            self._count(cluster, situation.state.name, served, now)
            cluster.watcher.stay_with(served[0].name if len(served) == 1 else None)
        plan = await self._plan(cluster, situation, now)
        deeds = await self._executor.perform(plan.commands)
        pairs = tuple(zip(plan.commands, deeds, strict=False))
        done = [command for command, deed in pairs if not deed.refusal]
        refused = [command for command, deed in pairs if deed.refusal]
        self._gone.told(situation, done, refused)
        self._tell_trouble(situation.state.name, plan, deeds)
        ended = self._gone.count(situation, view.lease.pid) if situation.kind is ServiceKind.PRIMARY else 0
        left = self._gone.left(situation.state.name)
        at_s = time.time() - (time.monotonic() - now)
        self._observer.saw(Seen(situation=situation, lease=view.lease, at_s=at_s, deeds=deeds, ended=ended, left=left))
        return deeds

    async def _plan(self, cluster: Steered, situation: Situation, now: float) -> Plan:
        plan, proxy = steer(situation), situation.state.name
        policy = cluster.policies.get(proxy)
        if policy is None:
            return plan
        since = closed_since(self._closed_since.get(proxy, {}), situation.state, now)
        self._closed_since[proxy] = since
        ends = steer_replicas(situation, policy, since, now).commands
        moves = await self._rebalancing.due(situation, policy, now)
        return replace(plan, commands=(*plan.commands, *ends, *moves))

    async def _look(self, due: set[str]) -> tuple[tuple[Steered, ...], View]:
        """Renew the lease and observe: those that are due, and those of whom the lease tells something."""
        proxies: tuple[ProxyState, ...] | None = None
        if due.issuperset(cluster.scope for cluster in self.steered):
            lease, proxies = await self._runtime.renew_and_look(LEASE_MS)
        else:
            lease = await self._runtime.renew(LEASE_MS)
        lease = replace(lease, stuck=self._with_ages(lease.stuck))
        clusters = self._concerned(due, lease)
        return clusters, await self._observe(clusters, lease, proxies)

    def _concerned(self, due: set[str], lease: Lease) -> tuple[Steered, ...]:
        """Those that are due, and those of whom the lease tells something; all, where a new worker knows of nothing."""
        if self._ids_of not in (0, lease.pid):
            return self.steered
        told = {proxy for proxy, _, _ in lease.released} | {proxy for proxy, _ in lease.held} | set(lease.closed)
        told |= {it.proxy for it in lease.stuck}
        return tuple(
            cluster
            for cluster in self.steered
            if cluster.scope in due or any(service.proxy in told for service in cluster.services)
        )

    async def _observe(self, clusters: Sequence[Steered], lease: Lease, proxies: tuple[ProxyState, ...] | None) -> View:
        """`proxies`: all of them, where they were asked for together with the lease."""
        names = [service.proxy for cluster in clusters for service in cluster.services]
        is_known = lease.pid == self._ids_of and self._ids.keys() >= set(names)
        if proxies is None and (len(clusters) == len(self.steered) or not is_known):
            proxies = await self._runtime.proxies()
        if proxies is None:
            proxies = await self._runtime.some_proxies(one for name in names for one in self._ids[name])
        else:
            self._ids, self._ids_of = {proxy.name: proxy.ids for proxy in proxies}, lease.pid
        wanted = set(names)
        missing = wanted - {proxy.name for proxy in proxies}
        if missing:  # their numbers are others now, or HAProxy is older than we
            self._ids = {}
            self.turns.remember(it.scope for it in clusters if any(service.proxy in missing for service in it.services))
        self._hearing.looked((proxy for proxy in proxies if proxy.name in wanted), time.monotonic())
        return View(
            lease=lease,
            proxies={proxy.name: proxy for proxy in proxies},
            workers=self._old.seen_beside(lease.pid),
            asked=self._asked(),
        )

    def source_ages(self) -> SourceAges:
        """At this moment."""
        now = time.monotonic()
        ages = {("", "HAProxy", ""): now - self._observed_at, ("", "check log", ""): self._hearing.age_s(now)}
        if (age_s := self._old.age_s(now)) is not None:
            ages["", "master socket", ""] = age_s
        for it in self.steered:
            ages |= {(it.scope, *source): age_s for source, age_s in it.watcher.source_ages(now).items()}
        return ages

    def _with_ages(self, stuck: Sequence[Stuck]) -> tuple[Stuck, ...]:
        now = time.monotonic()
        keys = {(it.proxy, it.server, it.what.value): it for it in stuck}
        self._stuck_since = {key: self._stuck_since.get(key, now) for key in keys}
        return tuple(replace(it, age_s=now - self._stuck_since[key]) for key, it in keys.items())

    def _situation(self, cluster: Steered, service: Service, view: View, now: float) -> Situation | None:
        """None where we have no say: a standby cluster's leader takes no writes, and HAProxy may be older than we."""
        state = view.proxies.get(service.proxy)
        if state is None or service.serves_standby_leader:
            return None
        if service.kind is ServiceKind.PRIMARY:
            self._note_who_is_up(cluster.watcher, state)
        policy = cluster.policies.get(service.proxy)
        return Situation(
            scope=cluster.scope,
            kind=service.kind,
            state=state,
            members=cluster.watcher.facts(now),
            stuck=tuple(it for it in view.lease.stuck if it.proxy == service.proxy),
            leader_key=cluster.watcher.leader_key(now),
            workers=view.workers,
            endings=self._gone.endings(service.proxy, now),
            lag_limit_s=policy.lag_limit_s if policy else None,
            asked=tuple(it for it in view.asked if it.drain.scope == cluster.scope),
        )

    def _note_who_is_up(self, watcher: Watcher, state: ProxyState) -> None:
        """HAProxy has taken a member up since the last cycle: a check of its own has passed, told of or not."""
        up = frozenset(it.name for it in state.servers if it.takes_sessions and not it.is_backup)
        for server in up - self._up.get(state.name, up):
            watcher.check_has_passed(server)
        self._up[state.name] = up

    def _count(self, cluster: Steered, proxy: str, served: Sequence[ServerState], now: float) -> None:
        """Sessions of the primary that are all gone at once may be its end, and so may clients who cannot connect."""
        one = served[0] if len(served) == 1 else None
        name, sessions, failed = (one.name, one.sessions, one.failed_connects) if one else (None, 0, 0)
        self._counters[proxy], is_hint = looked(self._counters.get(proxy, Counter()), name, sessions, failed, now)
        if is_hint:
            cluster.watcher.hint()

    def _set_pace(self, cluster: Steered, situation: Situation, now: float) -> None:
        has_hint = now - cluster.watcher.hinted_at < HINT_S
        since = self._flux_since.setdefault(cluster.scope, now)
        judgements = judge_members(situation)
        pace = choose_pace(judgements, situation.kind, has_hint=has_hint, bursting_s=now - since)
        if not is_in_flux(judgements, situation.kind, has_hint=has_hint):
            del self._flux_since[cluster.scope]
        cluster.watcher.set_pace(pace)

    def _tell_trouble(self, proxy: str, plan: Plan, deeds: Sequence[Deed]) -> None:
        refusal = next((f"{deed.command}: {deed.refusal}" for deed in deeds if deed.refusal), "")
        for troubles, begin, why in (
            (self._refusals, _refusals, refusal),
            (self._warnings, _warnings, "; ".join(plan.warnings)),
        ):
            if why and proxy not in troubles:
                troubles[proxy] = begin(proxy)
            if proxy in troubles:
                troubles[proxy].tell(why)


def _tell(did: Mapping[str, Sequence[Deed]]) -> None:
    """One line for a cycle that has changed something."""
    done = {proxy: [it for it in deeds if not it.refusal] for proxy, deeds in did.items() if deeds}
    if services := [proxy for proxy, deeds in done.items() if deeds]:
        words = [f"{deed.command} ({deed.reason})" for deeds in done.values() for deed in deeds]
        log.info("steered", service=", ".join(services), did="; ".join(words))


def _refusals(proxy: str) -> Trouble:
    begins, ends = "HAProxy has refused a command", "HAProxy takes commands again"
    return Trouble(begins, ends, level="error", reasons=SOME_REASONS, service=proxy)


def _warnings(proxy: str) -> Trouble:
    begins, ends = "its members contradict each other", "its members agree again"
    return Trouble(begins, ends, reasons=SOME_REASONS, service=proxy)
