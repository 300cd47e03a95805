"""Which servers have to come, go or move, so that HAProxy has those of its configuration without being reloaded.

Pure: what HAProxy says is compared with what it should have; nothing is planned that is already so, and the same plan
comes of a start in the middle. What a person has added or rests is left alone. Members that leave stand first: one that
came back under another name at the same place would be a second primary for a moment.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from trunkline.model.desired import Endpoint, Service
from trunkline.model.membership import Change, Departed, Join, Leave, Move, Placed, Remove, Rest, Return
from trunkline.model.proxy import ProxyState, is_same_address

MOST_DEPARTED = 32
"""So many servers of members that have left may wait for their return."""

IDLE_S = 60.0
"""So long a server was without a session before it is removed."""

MOVED_S = 0.3
"""A server that was moved rests so long: a check of its old place, still under way, would speak for the new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The servers of one HAProxy at one moment. `ours`: (proxy, server) that came from our configuration; `departed`:
    of those, the ones that are on their way out; `now_s`: seconds since the epoch. `closed_by_agent`: (proxy, server)
    that an agent has drained, under its lease: no person's hand, and no rest that lasts."""

    services: tuple[Service, ...]
    proxies: Mapping[str, ProxyState]
    placed: tuple[Placed, ...]
    ours: Collection[tuple[str, str]]
    departed: tuple[Departed, ...]
    now_s: float
    closed_by_agent: Collection[tuple[str, str]] = ()


def plan_members(crew: Crew, *, may_remove: bool) -> tuple[Change, ...]:
    """What is to be done, in its order. `may_remove`: whether this HAProxy can remove servers without harm."""
    services = [service for service in crew.services if service.proxy in crew.proxies]
    leaving = (change for service in services for change in _leaving(crew, service))
    coming = (change for service in services for change in _coming(crew, service))
    removed = (Remove(proxy=it.proxy, server=it.server) for it in surplus(crew)) if may_remove else ()
    return (*leaving, *coming, *removed)


def surplus(crew: Crew) -> tuple[Departed, ...]:
    """Who has waited long enough, where too many wait: the first that has left before the others."""
    wanted = {(service.proxy, server.name) for service in crew.services for server in service.servers}
    in_maint = {(it.proxy, it.name) for it in crew.placed if it.is_in_maint}
    waiting = [it for it in crew.departed if (it.proxy, it.server) not in wanted]
    too_many = max(0, len(waiting) - MOST_DEPARTED)
    idle = [it for it in waiting if it.idle_since_s is not None and crew.now_s - it.idle_since_s >= IDLE_S]
    ready = [it for it in idle if (it.proxy, it.server) in in_maint]
    return tuple(sorted(ready, key=lambda it: it.since_s)[:too_many])


def _leaving(crew: Crew, service: Service) -> Iterator[Change]:
    wanted, placed, noted = {server.name for server in service.servers}, _placed(crew, service), _noted(crew, service)
    for server in crew.proxies[service.proxy].servers:
        place = placed.get(server.name)
        if place is None or server.name in wanted or (service.proxy, server.name) not in crew.ours:
            continue
        if server.name in noted:
            if not place.is_in_maint and server.sessions == 0:
                yield Rest(proxy=service.proxy, server=server.name)
            elif not place.is_resting:  # a lease has ended, or somebody has opened it
                yield Leave(proxy=service.proxy, server=server.name)
        elif not place.is_resting or (service.proxy, server.name) in crew.closed_by_agent:
            yield Leave(proxy=service.proxy, server=server.name)


def _coming(crew: Crew, service: Service) -> Iterator[Change]:
    placed, noted = _placed(crew, service), _noted(crew, service)
    for server in service.servers:
        place, note = placed.get(server.name), noted.get(server.name)
        if place is None:
            yield Join(service=service, server=server)
        elif not (_is_same(place.postgres, server.postgres) and _is_same(place.api, server.api)):
            yield Move(service=service, server=server, is_resting=place.is_resting and note is None)
        elif note is not None and crew.now_s - note.since_s >= MOVED_S:
            yield Return(service=service, server=server, is_judged=not place.is_in_maint)


def _placed(crew: Crew, service: Service) -> Mapping[str, Placed]:
    return {it.name: it for it in crew.placed if it.proxy == service.proxy}


def _noted(crew: Crew, service: Service) -> Mapping[str, Departed]:
    return {it.server: it for it in crew.departed if it.proxy == service.proxy}


def _is_same(one: Endpoint, other: Endpoint) -> bool:
    return is_same_address(str(one), str(other))
