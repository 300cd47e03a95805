"""A whole Patroni cluster without one: members with REST APIs that tell the same story, changed by a word.

Owns which role check succeeds when (Patroni's "REST API"), in the words of 4.x or, on request, of 3.0. What is told
while things go wrong is FACTS of real clusters: a primary whose PostgreSQL died keeps its status 200, but has no xlog.
"""

import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self

from trunkline.testing.fake_patroni import Answer, FakePatroni

PRIMARY_CHECKS = ("/", "/primary", "/master", "/read-write", "/leader")
REPLICA_CHECKS = ("/replica", "/asynchronous", "/async", "/synchronous", "/sync")
LOCATION = 67108960
"""How far the primary has written."""

ANYBODY = ("/patroni", "/health", "/liveness", "/readiness")


@dataclass(slots=True, kw_only=True)
class MemberStory:
    """What is true of one member; change it, and every API of the cluster tells so.

    `is_alive`: whether its PostgreSQL answers. `is_stopping`: it shuts down, and its API says so. `is_promoted`:
    whether a leader's promotion has ended. `is_listed`: whether the store has its key, which a restored one may lack
    for a while. `replayed_s_ago`: when the last transaction was committed that it has replayed, None for one that has
    replayed none.
    """

    name: str
    host: str
    port: int
    is_alive: bool = True
    is_stopping: bool = False
    is_promoted: bool = True
    is_listed: bool = True
    is_sync: bool = False
    lag_bytes: int = 0
    replayed_s_ago: float | None = None
    tags: dict[str, object] = field(default_factory=dict)


class FakeCluster:
    """Some members, one of which leads: `async with FakeCluster() as cluster: ... cluster.promote("pg2")`.

    `leader` may be None. `postgres`: where PostgreSQL listens, by member; a port that nobody answers on otherwise.
    `host`, `tls`, `login`: of every API, as in FakePatroni.
    `speaks_3_0`: "master" instead of "primary", no names and no scope, as Debian 12's Patroni.
    """

    def __init__(
        self,
        names: tuple[str, ...] = ("pg1", "pg2", "pg3"),
        *,
        leader: str | None = "pg1",
        scope: str = "demo",
        postgres: Mapping[str, tuple[str, int]] | None = None,
        config: Mapping[str, object] | None = None,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        speaks_3_0: bool = False,
    ) -> None:
        places = postgres or {}
        self.scope, self.leader, self.timeline = scope, leader, 1
        self.is_standby_cluster = False
        self.config = dict(config or {"ttl": 20, "loop_wait": 2})
        self.speaks_3_0 = speaks_3_0
        self.stories = {
            name: MemberStory(name=name, host=_at(places, name)[0], port=_at(places, name)[1]) for name in names
        }
        self._new_api = partial(_MemberApi, self, host=host, tls=tls, login=login)
        self.apis: dict[str, _MemberApi] = {name: self._new_api(name) for name in names}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for api in self.apis.values():
                await stack.enter_async_context(api)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def urls(self) -> tuple[str, ...]:
        """The base URL of every member's API."""
        return tuple(api.url for api in self.apis.values())

    def promote(self, name: str) -> None:
        """Give the leader lock to another member; its PostgreSQL has ended recovery."""
        self.leader, self.timeline = name, self.timeline + 1
        self.stories[name].is_promoted = True

    async def join(self, story: MemberStory) -> None:
        """One more member, which is a replica."""
        api = await self._open.enter_async_context(self._new_api(story.name))
        self.stories[story.name], self.apis[story.name] = story, api

    async def leave(self, name: str) -> None:
        """Its Patroni has ended, and no other lists it any more."""
        del self.stories[name]
        await self.apis.pop(name).refuse()

    def rename(self, name: str, new: str) -> None:
        """The same host under another name."""
        self.apis[new], story = self.apis.pop(name), self.stories.pop(name)
        self.apis[new].name = new
        self.stories[new] = replace(story, name=new)
        self.leader = new if self.leader == name else self.leader

    def answer(self, name: str, path: str, query: Mapping[str, str]) -> Answer:
        """What the API of one member says to `GET path`."""
        if path == "/cluster":
            return Answer.of(self._cluster())
        if path == "/config":
            return Answer.of(self.config)
        return Answer.of(self._member(name), status=200 if self._passes(name, path, query) else 503)

    def _passes(self, name: str, path: str, query: Mapping[str, str]) -> bool:
        story, is_leader = self.stories[name], name == self.leader
        if path in PRIMARY_CHECKS:
            return is_leader and (not self.is_standby_cluster or path == "/leader")
        if path in ("/standby-leader", "/standby_leader"):
            return is_leader and self.is_standby_cluster
        if path in REPLICA_CHECKS:
            is_wanted = {"/replica": True, "/sync": story.is_sync, "/synchronous": story.is_sync}
            is_close = story.lag_bytes <= int(query.get("lag", story.lag_bytes))
            is_fit = is_close and not story.tags.get("noloadbalance")
            return not is_leader and story.is_alive and is_fit and is_wanted.get(path, not story.is_sync)
        return path == "/patroni" or (path in ANYBODY and story.is_alive)

    def _cluster(self) -> dict[str, object]:
        members = [self._listed(story) for story in self.stories.values() if story.is_listed]
        return {"members": members} if self.speaks_3_0 else {"members": members, "scope": self.scope}

    def _listed(self, story: MemberStory) -> dict[str, object]:
        is_leader = story.name == self.leader
        state = "running" if is_leader else "streaming"
        listed: dict[str, object] = {
            "name": story.name,
            "role": self._listed_role(story),
            "state": state if story.is_alive else "stopped",
            "api_url": f"{self.apis[story.name].url}/patroni",
            "host": story.host,
            "port": story.port,
            "timeline": self.timeline,
        }
        if not is_leader:
            listed["lag"] = story.lag_bytes if story.is_alive else "unknown"
        return listed | ({"tags": dict(story.tags)} if story.tags else {})

    def _listed_role(self, story: MemberStory) -> str:
        if story.name == self.leader:
            return "standby_leader" if self.is_standby_cluster else "leader"
        return "sync_standby" if story.is_sync else "replica"

    def _member(self, name: str) -> dict[str, object]:
        """`GET /patroni`, in the order in which Patroni writes it: HAProxy's check is a regular expression."""
        story = self.stories[name]
        leads = name == self.leader
        software = {"version": "3.0.4", "scope": self.scope}
        if not self.speaks_3_0:
            software = {"version": "4.1.5", "scope": self.scope, "name": name}
        if not story.is_alive or story.is_stopping:
            state = "stopping" if story.is_stopping else "unknown"
            return {"state": state, "role": self._own_role(leads), "patroni": software}
        writes = leads and story.is_promoted and not self.is_standby_cluster
        xlog = {"location": LOCATION} if writes else self._replay(story)
        return {
            "state": "running",
            "role": self._own_role(leads and (writes or self.is_standby_cluster)),
            "server_version": 160004,
            "xlog": xlog,
            **({"sync_standby": True} if story.is_sync and not leads else {}),
            "timeline": self.timeline,
            **({"replication": streams} if leads and (streams := self._streams()) else {}),
            "patroni": software,
        }

    def _streams(self) -> list[dict[str, object]]:
        """Who streams from the leader."""
        return [
            {
                "usename": "replicator",
                "application_name": story.name,
                "client_addr": story.host,
                "state": "streaming",
                "sync_state": "sync" if story.is_sync else "async",
                "sync_priority": 1 if story.is_sync else 0,
            }
            for story in self.stories.values()
            if story.name != self.leader and story.is_alive
        ]

    def _replay(self, story: MemberStory) -> dict[str, object]:
        replay: dict[str, object] = {
            "received_location": LOCATION,
            "replayed_location": max(0, LOCATION - story.lag_bytes),
        }
        if story.replayed_s_ago is not None:
            replayed_at = datetime.now(UTC) - timedelta(seconds=story.replayed_s_ago)
            replay["replayed_timestamp"] = str(replayed_at)
        return replay

    def _own_role(self, leads: bool) -> str:
        if not leads:
            return "replica"
        if self.is_standby_cluster:
            return "standby_leader"
        return "master" if self.speaks_3_0 else "primary"


class _MemberApi(FakePatroni):
    """Scripted answers go first, then the story of the cluster."""

    def __init__(
        self,
        cluster: FakeCluster,
        name: str,
        *,
        host: str,
        tls: ssl.SSLContext | None,
        login: tuple[str, str] | None,
    ) -> None:
        super().__init__(host=host, tls=tls, login=login)
        self.name = name
        self._cluster = cluster

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        return self.answers.get(path) or self._cluster.answer(self.name, path, query)


def _at(places: Mapping[str, tuple[str, int]], name: str) -> tuple[str, int]:
    return places.get(name, ("127.0.0.1", 1))
