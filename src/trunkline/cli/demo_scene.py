"""What the live view of the demo shows: one frozen scene, and how it is drawn. Pure; looking is `demo_live`."""

from dataclasses import dataclass, field

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trunkline.lab.clients import Report
from trunkline.lab.health import ClusterHealth, MemberHealth
from trunkline.lab.member import Condition

# A client that has waited longer than this is being held or refused; shorter is the pace of the loop.
NOTICEABLE_S = 0.5
EVENTS_SHOWN = 8
KEYS_IN_A_ROW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One member: what it says of itself, and what we have done to it."""

    health: MemberHealth
    condition: Condition = Condition.RUNNING
    address: str = ""

    @property
    def name(self) -> str:
        """The member's name."""
        return self.health.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything on the screen. `addresses`: (what, connection string); `events`: newest last; `busy`: what is under
    way, "" when nothing is."""

    rows: tuple[Row, ...] = ()
    selected: str = ""
    writer: Report = field(default_factory=Report)
    reader: Report = field(default_factory=Report)
    events: tuple[str, ...] = ()
    busy: str = ""
    addresses: tuple[tuple[str, str], ...] = ()
    ports: tuple[int, int] = (5000, 5001)

    @property
    def primary(self) -> str | None:
        """Who proves that it takes writes."""
        return next((row.name for row in self.rows if row.health.takes_writes), None)

    @property
    def running(self) -> tuple[str, ...]:
        """Members that nothing was done to."""
        return tuple(row.name for row in self.rows if row.condition is Condition.RUNNING)

    @property
    def broken(self) -> tuple[str, ...]:
        """Members that can be brought back."""
        return tuple(row.name for row in self.rows if row.condition is not Condition.RUNNING)


def changes(before: ClusterHealth, after: ClusterHealth) -> tuple[str, ...]:
    """What a person would want to be told between two looks: who leads now, and who follows again."""
    lines = []
    if after.leader != before.leader:
        member = next((m for m in after.members if m.name == after.leader), None)
        lines.append(f"{member.name} takes writes, timeline {member.timeline}" if member else "nobody takes writes")
    streamed = {m.name for m in before.members if m.is_streaming}
    lines += [f"{m.name} streams from the primary" for m in after.members if m.is_streaming and m.name not in streamed]
    return tuple(lines)


def draw(scene: Scene, keys: tuple[tuple[str, str, bool], ...]) -> RenderableType:
    """The whole screen."""
    return Group(
        Text("Trunkline: one stable line into a moving Patroni cluster", style="bold"),
        _members(scene),
        _services(scene),
        _writer(scene.writer),
        Text(),
        _keys(keys, scene.busy),
        _addresses(scene.addresses),
        Text(),
        *(Text(event, style="dim") for event in scene.events[-EVENTS_SHOWN:]),
    )


def _members(scene: Scene) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "member", "address", "role", "state", "timeline", "lag"):
        table.add_column(heading, justify="right" if heading in ("timeline", "lag") else "left")
    for row in scene.rows:
        health = row.health
        table.add_row(
            "▸" if row.name == scene.selected else "",
            row.name,
            row.address,
            Text(health.role, style="bold green" if health.takes_writes else ""),
            _state(row),
            "" if health.timeline is None else str(health.timeline),
            "" if health.lag_bytes is None else f"{health.lag_bytes} B",
        )
    return table


def _state(row: Row) -> Text:
    if row.condition is not Condition.RUNNING:
        return Text(row.condition.value, style="bold red")
    if row.health.is_streaming:
        return Text("streaming", style="green")
    return Text(row.health.state, style="green" if row.health.takes_writes else "yellow")


def _services(scene: Scene) -> RenderableType:
    names = {row.address.rpartition(":")[0]: row.name for row in scene.rows}
    table = Table.grid(padding=(0, 2))
    for port, purpose, report in (
        (scene.ports[0], "read-write", scene.writer),
        (scene.ports[1], "read-only", scene.reader),
    ):
        table.add_row(Text(str(port), style="bold"), purpose, "→", leads_to(report, names))
    return table


def leads_to(report: Report, names: dict[str, str]) -> Text:
    """Who serves a port, in the words of a client that keeps asking."""
    if report.waiting_s > NOTICEABLE_S:
        return Text(f"nobody yet: clients have waited for {report.waiting_s:.1f} s", style="bold yellow")
    if not report.servers:
        return Text("not asked yet", style="dim")
    return Text(", ".join(sorted(names.get(server, server) for server in report.servers)), style="bold green")


def _writer(report: Report) -> RenderableType:
    failed = Text(f"{report.failed} failed", style="bold red" if report.failed else "green")
    if report.last_failure:
        failed.append(f" (last: {report.last_failure})", style="dim")
    return Text.assemble(
        "\nwriter  ",
        (f"{report.per_second:.0f}/s", "bold"),
        f", {report.served} written, ",
        failed,
        f", longest stall {report.longest_stall_s:.1f} s",
    )


def _keys(keys: tuple[tuple[str, str, bool], ...], busy: str) -> RenderableType:
    table = Table.grid(padding=(0, 3))
    cells = [
        Text.assemble((f" {key} ", "reverse" if is_offered else "dim"), (f" {text}", "" if is_offered else "dim"))
        for key, text, is_offered in keys
    ]
    for start in range(0, len(cells), KEYS_IN_A_ROW):
        table.add_row(*cells[start : start + KEYS_IN_A_ROW])
    return Group(table, Text(f"… {busy}" if busy else "", style="bold yellow"))


def _addresses(addresses: tuple[tuple[str, str], ...]) -> RenderableType:
    return Text("\n").join([Text(f"{what:<10}  {address}", overflow="fold") for what, address in addresses])
