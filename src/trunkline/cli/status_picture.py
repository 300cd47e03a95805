"""How a status looks in a terminal. Pure: `Status` in, something for Rich to print out; nothing is decided here.

What anybody may want to look at stands in a sentence under the table; what is as it should be does not.
"""

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trunkline.model.desired import ServiceKind
from trunkline.model.planned import AgentPlan
from trunkline.model.status import (
    ClusterStatus,
    HAProxyStatus,
    MemberInService,
    MemberStatus,
    ServiceStatus,
    Status,
)
from trunkline.plan.reasons import duration, size

GOOD, BAD, QUIET = "green", "bold red", "dim"

KINDS = {
    ServiceKind.PRIMARY: "primary",
    ServiceKind.REPLICAS: "replicas",
    ServiceKind.SYNC_REPLICAS: "sync",
    ServiceKind.ASYNC_REPLICAS: "async",
}


def draw(status: Status) -> RenderableType:
    """Everything, one cluster under the other."""
    return Group(
        *(part for cluster in status.clusters for part in _cluster(cluster, is_asked=not status.haproxy.problem)),
        *_drains_problem(status),
        *_agent(status.agent),
        _haproxy(status.haproxy),
        _verdict(status),
    )


def _cluster(cluster: ClusterStatus, *, is_asked: bool) -> Iterator[RenderableType]:
    yield _title(cluster)
    if cluster.problem:
        yield Text(f"Patroni cannot be asked: {printable(cluster.problem)}", style=BAD)
    if cluster.members:
        yield _members(cluster, cluster.services if is_asked else ())
    if is_asked:
        yield _services(cluster)
    notes = list(_notes(cluster))
    if notes:
        yield _list(notes)
        yield Text()


def _title(cluster: ClusterStatus) -> Text:
    words = [f"leader {printable(cluster.leader)}" if cluster.leader else "no leader"]
    words += ["standby cluster"] if cluster.is_standby_cluster else []
    words += ["paused"] if cluster.is_paused else []
    words += [f"switchover {printable(cluster.scheduled_switchover)}"] if cluster.scheduled_switchover else []
    title = Text(printable(cluster.scope) or "cluster", style="bold")
    return title if cluster.problem else title.append(": " + ", ".join(words), style="not bold")


def _members(cluster: ClusterStatus, services: tuple[ServiceStatus, ...]) -> Table:
    table = _table("member", "address", "role", "state", "TL:", "lag:")
    for service in services:
        table.add_column(_heading(service))
    for member in cluster.members:
        table.add_row(
            Text(printable(member.name), style="bold"),
            member.address,
            Text(member.role.value.replace("_", " "), style=GOOD if member.name == cluster.leader else ""),
            Text("silent" if member.problem else printable(member.state), style=BAD if member.problem else ""),
            "" if member.timeline is None else str(member.timeline),
            _lag(member),
            *(_cell(place) for place in member.services if services),
        )
    return table


def _lag(member: MemberStatus) -> str:
    if member.lag_bytes is None:
        return ""
    return size(member.lag_bytes) + (f", {duration(int(member.lag_s))}" if member.lag_s is not None else "")


def _heading(service: ServiceStatus) -> str:
    port = service.listens[0].rpartition(":")[2] if service.listens else ""
    return f"{port}\n{KINDS[service.kind]}"


def _cell(place: MemberInService) -> Text:
    """HAProxy's word for it, and how many sessions it has; red where the two sides disagree."""
    if place.health is None:
        return Text("none", style=BAD)
    style = GOOD if place.takes_sessions else QUIET
    counted = f" {place.sessions}" if place.sessions or place.takes_sessions else ""
    queued = f"+{place.queued}" if place.queued else ""
    return Text(f"{place.health.value}{counted}{queued}", style=style if place.agrees else BAD)


def _services(cluster: ClusterStatus) -> Table:
    table = _table("service", "listens on", "leads to", "sessions:", "queued:", "held:")
    for service in cluster.services:
        table.add_row(
            service.service,
            ", ".join(service.listens),
            Text(", ".join(map(printable, service.members)) or "nobody", style=GOOD if service.members else BAD),
            str(service.sessions),
            str(service.queued),
            str(service.held),
        )
    return table


def _notes(cluster: ClusterStatus) -> Iterator[tuple[str, str]]:
    for service in cluster.services:
        if service.is_notable:
            yield service.service, service.sentence
    for member in cluster.members:
        if member.problem:
            yield member.name, member.problem
        yield from _places(member)
    listed = {member.name for member in cluster.members}
    for drain in cluster.drains:
        if drain.member not in listed:
            unknown = "no Patroni could be asked" if cluster.problem else "the cluster does not list it"
            yield drain.member, f"{drain.sentence}; {unknown}"


def _places(member: MemberStatus) -> Iterator[tuple[str, str]]:
    """The same reason is told once."""
    reasons: dict[str, list[str]] = {}
    for place in member.services:
        if place.is_notable:
            reasons.setdefault(place.reason, []).append(place.service)
    for reason, services in reasons.items():
        yield f"{member.name} in {', '.join(services)}", reason


def _list(notes: list[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 1))
    for about, words in notes:
        grid.add_row(Text("!", style=BAD), Text(f"{printable(about)}: {printable(words)}"))
    return grid


def _drains_problem(status: Status) -> Iterator[Text]:
    if status.drains_problem:
        yield Text(f"What was asked for cannot be read: {printable(status.drains_problem)}", style=BAD)


def _agent(agent: AgentPlan | None) -> Iterator[RenderableType]:
    """What it has decided of whom; in one line for each service, and one for each thing that it has to do."""
    if agent is None:
        return
    if agent.pid is None:
        yield Text(f"{agent.problem[:1].upper()}{agent.problem[1:]}.", style=QUIET)
        return
    if agent.problem:
        yield Text(f"The agent (pid {agent.pid}) cannot steer HAProxy: {printable(agent.problem)}", style=BAD)
    age = f", {agent.age_s:.1f} s ago" if agent.age_s is not None else ""
    lines = [f"agent, pid {agent.pid}{age}"]
    for service in agent.services:
        stances = ", ".join(f"{it.member} {it.stance}" for it in service.members)
        lines.append(f"  {service.service}: {stances or 'nobody is known'}")
        lines += [f"    {command.command} ({command.reason})" for command in service.commands]
        lines += [f"    WARNING: {warning}" for warning in service.warnings]
    yield Text(printable("\n".join(lines)), style=QUIET)


def _haproxy(haproxy: HAProxyStatus) -> Text:
    if haproxy.problem:
        return Text(f"HAProxy cannot be asked: {printable(haproxy.problem)}", style=BAD)
    up = duration(haproxy.uptime_s or 0)
    line = Text(f"HAProxy {haproxy.version}, pid {haproxy.pid}, up {up}, {haproxy.socket}", style=QUIET)
    for pid in haproxy.old_workers:
        at = [f"{it.sessions} at {it.service}/{it.server}" for it in haproxy.old_sessions if it.pid == pid]
        line.append(f"\nold worker {pid}, which a reload left behind: {', '.join(at) or 'no'} sessions", style="")
    return line


def _verdict(status: Status) -> Text:
    if status.is_primary_reachable:
        return Text("A primary is reachable through this HAProxy.", style=GOOD)
    lost = [printable(cluster.scope) for cluster in status.clusters if not cluster.is_primary_reachable]
    of = f" of {', '.join(lost)}" if len(status.clusters) > 1 and lost else ""
    return Text(f"No primary{of} is reachable through this HAProxy.", style=BAD)


def _table(*headings: str) -> Table:
    """A heading with a colon is of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in headings:
        is_number = heading.endswith(":")
        table.add_column(heading.rstrip(":"), justify="right" if is_number else "left", overflow="fold")
    return table


def printable(text: str) -> str:
    """Names and words from outside, with nothing in them that a terminal would obey."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)
