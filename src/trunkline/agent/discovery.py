"""Who the members of a cluster are, from whoever of them answers and from what was known before.

Everything here is pure: answers and memory in, the next memory out. Asking is `trunkline.agent.following`, keeping it
on disk is `trunkline.agent.memory`. The rules:

- The leader's answer counts before others': it renews its key in the store, so what it says of it is fresh. Next
  counts what most say.
- Silence takes nobody away. No answer, or one without a single member, leaves everything as it was.
- A member that is listed no more (a node that died is, after its ttl) is kept for FORGET_AFTER_S: its checks fail, so
  it costs nothing, and a store that was restored lists members again when they have written themselves down, once in
  a loop_wait. One that answers for another cluster goes at once: its address has found another owner.
- A name that leads nowhere keeps its last address. A member whose name never led anywhere cannot be served yet.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from trunkline.errors import PatroniError, WrongScopeError
from trunkline.model.cluster import ClusterView, Member

FORGET_AFTER_S = 30.0

Answers = Mapping[str, ClusterView | PatroniError]
"""What each API said of the cluster, or why it said nothing, by its URL as settings or Patroni write it (`key`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a cluster. `view` is as Patroni says it, `addresses` leads its names to literals.

    `departed`: members of `view` that are listed no more, and since when (seconds of the monotonic clock).
    """

    view: ClusterView
    addresses: Mapping[str, str] = field(default_factory=dict)
    departed: Mapping[str, float] = field(default_factory=dict)

    @property
    def urls(self) -> tuple[str, ...]:
        """The APIs of all members."""
        return tuple(key(member.api_url) for member in self.view.members)


def judge_scope(answers: Answers, scope: str | None) -> None:
    """Refuse members of another cluster: than `scope`, or without it than the others. Raises WrongScopeError."""
    views = {url: answer for url, answer in sorted(answers.items()) if isinstance(answer, ClusterView)}
    if not views:
        return
    first = next(iter(views))
    for url, view in views.items():
        if scope is not None and view.scope != scope:
            raise WrongScopeError(
                f"{url} belongs to the cluster {view.scope!r}, not to {scope!r}",
                hint="correct `patroni` or `scope` in the settings",
            )
        if view.scope != views[first].scope:
            raise WrongScopeError(
                f"{first} belongs to the cluster {views[first].scope!r}, but {url} to {view.scope!r}",
                hint="two clusters behind one balancer are a list: `clusters` in the settings",
            )


def heard_scope(answers: Answers, listed: Collection[str]) -> str | None:
    """The cluster that the APIs of the settings belong to; None where they are silent or disagree. What is remembered
    has no say in it: the cluster may have been made anew under another name."""
    scopes = {answer.scope for url, answer in answers.items() if url in listed and isinstance(answer, ClusterView)}
    return scopes.pop() if len(scopes) == 1 else None


def choose(answers: Answers, scope: str | None) -> tuple[str, ClusterView] | None:
    """The answer to believe, and who gave it; None where nobody gave a usable one."""
    usable = {
        url: answer
        for url, answer in sorted(answers.items())
        if isinstance(answer, ClusterView) and answer.members and scope in (None, answer.scope)
    }
    if not usable:
        return None
    believed = Counter(view.leader.name for view in usable.values() if view.leader is not None)
    sets = Counter(_identity(view) for view in usable.values())

    def rank(url: str) -> tuple[int, int]:
        view = usable[url]
        leader = view.leader if view.leader is not None and key(view.leader.api_url) == url else None
        return believed[leader.name] if leader is not None else 0, sets[_identity(view)]

    best = max(usable, key=rank)
    return best, usable[best]


def merged(known: Known | None, view: ClusterView, answers: Answers, *, now_s: float) -> Known:
    """What is known after this view."""
    if known is None or known.view.scope != view.scope:
        return Known(view=view)
    listed = {member.name for member in view.members}
    departed = {
        member.name: known.departed.get(member.name, now_s)
        for member in known.view.members
        if member.name not in listed and not _has_other_owner(member, view, answers)
    }
    departed = {name: since for name, since in departed.items() if now_s - since < FORGET_AFTER_S}
    kept = tuple(member for member in known.view.members if member.name in departed)
    members = tuple(sorted(view.members + tuple(map(_without_role, kept)), key=lambda member: member.name))
    return Known(view=replace(view, members=members), addresses=known.addresses, departed=departed)


def names_in(view: ClusterView) -> tuple[str, ...]:
    """Every host in it that is a name and no address, sorted."""
    hosts = {host for member in view.members for host in (member.host, urlsplit(member.api_url).hostname or "")}
    return tuple(sorted(host for host in hosts if host and not is_address(host)))


def with_addresses(known: Known, found: Mapping[str, tuple[str, ...]]) -> Known:
    """After asking the resolver; `found` has every address of each name. An address that still holds is kept."""
    addresses: dict[str, str] = {}
    for name in names_in(known.view):
        told, before = found.get(name, ()), known.addresses.get(name)
        chosen = before if before is not None and (before in told or not told) else next(iter(told), None)
        if chosen is not None:
            addresses[name] = chosen
    return replace(known, addresses=addresses)


def resolved(known: Known) -> ClusterView:
    """The view with an address in place of each name, for `trunkline.plan`; without those that have none."""
    members = tuple(
        replace(member, host=host, api_url=with_host(member.api_url, known.addresses))
        for member in known.view.members
        if (host := _literal(member.host, known.addresses)) is not None
    )
    return replace(known.view, members=members)


def unresolved(known: Known) -> tuple[str, ...]:
    """Members that cannot be served, since their name has never led anywhere."""
    return tuple(m.name for m in known.view.members if _literal(m.host, known.addresses) is None)


def key(url: str) -> str:
    """One spelling for the same API: without Patroni's own path."""
    return url.rstrip("/").removesuffix("/patroni")


def reachable_url(url: str, addresses: Mapping[str, str]) -> str:
    """Where to ask: TLS needs the name for the certificate, anything else does without a name server."""
    return url if url.startswith("https:") else with_host(url, addresses)


def with_host(url: str, addresses: Mapping[str, str]) -> str:
    """The URL with an address in place of a name that is known."""
    parts = urlsplit(url)
    address = addresses.get(parts.hostname or "")
    if address is None:
        return url
    host = f"[{address}]" if ":" in address else address
    return urlunsplit(parts._replace(netloc=host if parts.port is None else f"{host}:{parts.port}"))


def is_address(host: str) -> bool:
    """Whether it is a literal."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _literal(host: str, addresses: Mapping[str, str]) -> str | None:
    return host if is_address(host) else addresses.get(host)


def _identity(view: ClusterView) -> tuple[object, ...]:
    """What decides where connections go; lag and timeline differ from one moment to the next."""
    return tuple((member.name, member.host, member.port, member.role) for member in view.members)


def _has_other_owner(member: Member, view: ClusterView, answers: Answers) -> bool:
    """Whether the place of a member that is listed no more belongs to somebody else by now."""
    answer = answers.get(key(member.api_url))
    is_foreign = isinstance(answer, ClusterView) and answer.scope != view.scope
    return is_foreign or any((m.host, m.port) == (member.host, member.port) for m in view.members)


def _without_role(member: Member) -> Member:
    """Nobody says any more what it is."""
    return Member(
        name=member.name, host=member.host, port=member.port, api_url=member.api_url, state="unknown", tags=member.tags
    )
