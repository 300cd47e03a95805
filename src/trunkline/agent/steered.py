"""Which clusters are steered, and who watches each: always those that are known by now.

Compares and replaces; what is watched is `watching`, what follows from it is `steering`. Who the members are comes from
elsewhere: the supervisor's memory (`trunkline run`), or a `Following` of our own (`trunkline agent`).
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import NoReturn

from trunkline.agent.discovery import Known, key, reachable_url, resolved
from trunkline.agent.following import lasting
from trunkline.agent.leader import LeaderSource
from trunkline.agent.steering import Steered, Steering
from trunkline.agent.tasks import Tasks
from trunkline.agent.watching import Watcher
from trunkline.config.settings import ClusterSettings, ReplicaServiceSettings, Settings
from trunkline.model.desired import HostFacts, Paths, Server, Service, ServiceKind
from trunkline.plan.balancer import desired_balancer
from trunkline.plan.replicas import ReplicaPolicy

LOOK_S = 0.5
ANY_HOST = HostFacts(file_limit=None, haproxy_version=(2, 6))
"""What the machine gives decides nothing about members and services."""

Knowns = tuple[Known | None, ...]
"""One for each cluster of the settings; None where nobody has said anything yet."""

Sourcing = Callable[[ClusterSettings, str], LeaderSource | None]
"""From a cluster and its scope to who tells the leader key."""


class Guide:
    """Keeps the clusters of a steering those that are known; `knowns` is asked again and again. `met` is called with
    the scope where somebody streams who is no member that is known."""

    def __init__(
        self, steering: Steering, settings: Settings, paths: Paths, source_for: Sourcing, met: Callable[[str], None]
    ) -> None:
        self._steering = steering
        self._settings = settings
        self._paths = paths
        self._source_for = source_for
        self._met = met
        self._known: Knowns | None = None
        self._watchers: dict[str, Watcher] = {}

    async def run(self, knowns: Callable[[], Knowns], tasks: Tasks) -> NoReturn:
        """Look whether members have come, gone or moved."""
        while True:
            now = knowns()
            if now != self._known:
                if self._known is None or any(not _is_same(*pair) for pair in zip(now, self._known, strict=True)):
                    self._adopt(now, tasks)
                self._known = now
            await asyncio.sleep(LOOK_S)

    def _adopt(self, knowns: Knowns, tasks: Tasks) -> None:
        clusters = self._settings.clusters
        views = tuple(resolved(known) if known is not None else None for known in knowns)
        services = desired_balancer(self._settings, views, ANY_HOST, self._paths).services
        self._steering.steered = tuple(
            self._steered(chosen, known, services, tasks)
            for chosen, known in zip(clusters, knowns, strict=True)
            if known is not None
        )
        for scope in self._watchers.keys() - {cluster.scope for cluster in self._steering.steered}:
            del self._watchers[scope]  # it has another name now
            tasks.drop(f"watch {scope}")
        self._share_out()
        self._steering.wake()

    def _share_out(self) -> None:
        """Who is one of many asks less often."""
        steered = self._steering.steered
        members = sum(len(cluster.watcher.members) for cluster in steered)
        for cluster in steered:
            cluster.watcher.share(clusters=len(steered), members=members)

    def _steered(self, chosen: ClusterSettings, known: Known, services: tuple[Service, ...], tasks: Tasks) -> Steered:
        scope = known.view.scope
        own = tuple(service for service in services if service.scope == scope)
        watcher = self._watchers.get(scope)
        if watcher is None:
            source = self._source_for(chosen, scope)
            watcher = Watcher(chosen.api, partial(self._steering.wake, scope), source, partial(self._met, scope))
            self._watchers[scope] = watcher
            tasks.start(f"watch {scope}", watcher.run)
        apis = _apis(known)
        watcher.follow((server, apis[server.member]) for server in _servers(own))
        return Steered(scope=scope, services=own, watcher=watcher, policies=_policies(chosen, own))


def _is_same(now: Known | None, before: Known | None) -> bool:
    """Whether nothing has changed that matters here: how far a replica lags changes all the time."""
    if now is before or now is None or before is None:
        return now is before
    return now.addresses == before.addresses and lasting(now.view) == lasting(before.view)


def _apis(known: Known) -> Mapping[str, str]:
    """Where each member's API is asked."""
    return {member.name: reachable_url(key(member.api_url), known.addresses) for member in known.view.members}


def _policies(chosen: ClusterSettings, services: tuple[Service, ...]) -> Mapping[str, ReplicaPolicy]:
    """What settings ask of each replicas' service, by proxy."""
    wanted = {service.proxy: getattr(chosen.services, service.kind.value) for service in services}
    return {
        proxy: ReplicaPolicy(
            drain_deadline_s=its.drain_deadline_s,
            end_sessions_on_promotion=its.end_sessions_on_promotion,
            rebalance_per_s=its.rebalance_per_minute / 60 if its.rebalance_per_minute is not None else None,
            rebalance_idle_s=its.rebalance_idle_s,
            lag_limit_s=its.lag_limit_s,
        )
        for proxy, its in wanted.items()
        if isinstance(its, ReplicaServiceSettings)
    }


def _servers(services: tuple[Service, ...]) -> tuple[Server, ...]:
    """Those of the primary's service, or of the first where there is none: all have the same members."""
    ordered = sorted(services, key=lambda service: service.kind is not ServiceKind.PRIMARY)
    return ordered[0].servers if ordered else ()
