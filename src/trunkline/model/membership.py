"""Members that come and go while HAProxy runs: where its servers are, who has left, and what is to be done, as values.

`trunkline.plan.members` makes the changes, `trunkline.agent.members` performs them. Nothing here acts.
"""

from dataclasses import dataclass

from trunkline.model.desired import Endpoint, Server, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One server of `show servers state`: where its sessions and its checks go, and how it was set to rest. (A server
    that is down is DOWN in `show stat`, drained or not.)"""

    proxy: str
    name: str
    postgres: Endpoint
    api: Endpoint
    is_in_maint: bool = False
    is_drained: bool = False

    @property
    def is_resting(self) -> bool:
        """Whether it gets no new sessions, whatever its checks say."""
        return self.is_in_maint or self.is_drained


@dataclass(frozen=True, slots=True, kw_only=True)
class Departed:
    """A server whose member has left, by our own hand on its way out. In seconds since the epoch: `since_s`, when it
    left; `idle_since_s`, since when it was seen without a session, None while it has any."""

    proxy: str
    server: str
    since_s: float
    idle_since_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A server that HAProxy does not have: it is there, asked, and gets nobody before an answer has spoken for it."""

    service: Service
    server: Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Its member is elsewhere: whom it had loses it, and nobody new comes before an answer. `is_resting`: it is in
    maintenance or drain by somebody else's hand, and stays there."""

    service: Service
    server: Server
    is_resting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A member that had left is back. `is_judged`: its server was only drained, and its checks have gone on; one that
    comes out of maintenance gets nobody before an answer."""

    service: Service
    server: Server
    is_judged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Its member has left: no new sessions; those that it has may end."""

    proxy: str
    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """It has left and has no session any more: it waits in maintenance, where nothing asks for it."""

    proxy: str
    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """It has waited long enough, and too many wait."""

    proxy: str
    server: str


Change = Join | Move | Return | Leave | Rest | Remove
