"""`python -m benchmarks fleet`: one agent for a thousand members, beside a plain poller of the same.

The members and the HAProxy in front of them are simulated in a process of their own (`fleet_host`); the agent is the
product's own command. Owns the order of things and what the numbers are.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from benchmarks.fleet_host import MEMBERS, RoleChange
from benchmarks.poller import EVERY_S
from benchmarks.sheets import Sheet, finish, machine, megabytes, percentile, say, seconds, share
from benchmarks.usage import Meter, Usage, process_of
from trunkline.errors import LabError

AGENT, POLLER = "trunkline agent", "plain poller"
SETTLED_TIMEOUT_S = 60.0
SETTLED_QUESTIONS = 3
POLL_S = 0.5
CALM_S = 5.0
LAST_S = 3.0
"""So long after the last role change what was noticed still counts."""

END_TIMEOUT_S = 10.0
SEED = 1
GOAL_P99_S, GOAL_SHARE = 0.5, 0.25
MOST_MISSED = 0.05
LEAST_POLLS = 0.8
MOST_HOST_SHARE = 0.85

Notices = Sequence[tuple[float, str, str, bool]]
"""When, in which cluster, which member: whether it was found to be the primary or not to be it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one of the two has shown. `ends`, `promotions`: seconds from each role change until it was noticed, None
    where it never was. `asked_per_s`: questions at rest, by path. `host_share`: CPU of the simulated fleet."""

    name: str
    ends: tuple[float | None, ...]
    promotions: tuple[float | None, ...]
    at_rest: Usage
    changing: Usage
    asked_per_s: Mapping[str, float]
    host_share: float


class Host:
    """The fleet's process."""

    def __init__(self, directory: Path, clusters: int) -> None:
        words = [sys.executable, "-m", "benchmarks.fleet_host", str(directory), str(clusters)]
        self._child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = process_of(self._child.pid)
        self._answer()

    def do(self, what: str, **more: float) -> Any:
        """One order, and its answer."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """It ends with its orders."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        _end(self._child)

    def _answer(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise LabError("the simulated fleet has ended", hint="what it said is above")
        return json.loads(line)


def fleet(
    clusters: Annotated[int, typer.Option(min=1, max=250, metavar="N", help="Of four members each.")] = 250,
    changes: Annotated[int, typer.Option(min=1, metavar="N", help="Role changes, for each side the same.")] = 100,
    every_s: Annotated[float, typer.Option(min=0.1, metavar="S", help="Between two of them, on average.")] = 1.5,
    rest_s: Annotated[float, typer.Option(min=1, metavar="S", help="How long the rest is measured.")] = 30.0,
    out_directory: Annotated[Path, typer.Option("--out", metavar="DIR", help="For results.json and tables.md.")] = Path(
        "bench-results/fleet"
    ),
) -> None:
    """A thousand members in 250 clusters, simulated: how soon role changes are noticed, and what that costs.

    Once with `trunkline agent`, which steers a simulated HAProxy, and once with a plain poller that asks every member
    once a second. Roles change in clusters at random.
    """
    about = machine(clusters=clusters, members=clusters * len(MEMBERS), changes=changes, every_s=every_s)
    say(f"{clusters} clusters, {changes} role changes: about {2 * (changes * every_s + rest_s + 15) / 60:.0f} min")
    sides = [_play(name, clusters, changes, every_s, rest_s) for name in (AGENT, POLLER)]
    sheet = table(sides, clusters=clusters, changes=changes)
    finish(out_directory, [sheet], {"machine": about, "sides": sides}, why_broken(sides, clusters * len(MEMBERS)))


def _play(name: str, clusters: int, changes: int, every_s: float, rest_s: float) -> Side:
    # not TMPDIR, whose path may be too long for a unix socket
    with tempfile.TemporaryDirectory(prefix="fleet-", dir="/tmp") as place, _host(Path(place), clusters) as host:
        log = Path(place) / "log"
        with _running(name, Path(place), log) as child:
            process = process_of(child.pid)
            _settle(host)
            host.do("forget")
            rest = Meter([process])
            time.sleep(rest_s)
            at_rest, asked = rest.read(), host.do("asked")
            host.do("forget")
            meter, of_host = Meter([process]), Meter([host.process])
            played = [RoleChange(**change) for change in host.do("play", changes=changes, every_s=every_s, seed=SEED)]
            changing, host_share = meter.read(), of_host.read().cpu_share
            time.sleep(LAST_S)
            told = host.do("told")
        notices = commands(told) if name == AGENT else transitions(log.read_text())
    ends, promotions = delays(played, notices)
    asked_per_s = {path: count / at_rest.window_s for path, count in asked.items() if path.startswith("/")}
    side = Side(
        name=name,
        ends=ends,
        promotions=promotions,
        at_rest=at_rest,
        changing=changing,
        asked_per_s=asked_per_s,
        host_share=host_share,
    )
    say(f"{name}: {share(at_rest.cpu_share)} of a core at rest, {share(changing.cpu_share)} while roles change")
    return side


@contextmanager
def _host(directory: Path, clusters: int) -> Iterator[Host]:
    host = Host(directory, clusters)
    try:
        yield host
    finally:
        host.end()


@contextmanager
def _running(name: str, directory: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    settings = str(directory / "trunkline.yml")
    agent = ["trunkline", "agent", "--config", settings, "--dir", str(directory)]
    words = agent if name == AGENT else ["benchmarks.poller", settings]
    with log.open("wb") as file:
        child = subprocess.Popen([sys.executable, "-m", *words], stdout=file, stderr=subprocess.STDOUT)
    try:
        yield child
    finally:
        child.terminate()
        _end(child)


def _settle(host: Host) -> None:
    """Until every member was asked a few times, and a little longer."""
    deadline = time.monotonic() + SETTLED_TIMEOUT_S
    while host.do("asked")["least"] < SETTLED_QUESTIONS:
        if time.monotonic() > deadline:
            raise LabError(f"after {SETTLED_TIMEOUT_S:.0f} s there are members that nobody has asked")
        time.sleep(POLL_S)
    time.sleep(CALM_S)


def _end(child: "subprocess.Popen[Any]") -> None:
    try:
        child.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def commands(told: Iterable[Sequence[Any]]) -> Notices:
    """What HAProxy was told, of the primaries' services.

    >>> commands([[1.5, "trunkline close c0_postgres_primary/pg1"]])
    [(1.5, 'c0', 'pg1', False)]
    >>> commands([[2, "set server c0_postgres_primary/pg2 health up"], [2, "set server c0_postgres_replicas/pg2 …"]])
    [(2.0, 'c0', 'pg2', True)]
    """
    found: list[tuple[float, str, str, bool]] = []
    for at_s, command in told:
        target = next((word for word in str(command).split() if "/" in word), "/")
        proxy, _, member = target.partition("/")
        scope, service, _ = proxy.partition("_postgres_primary")
        if service:
            found.append((float(at_s), scope, member, str(command).endswith(" health up")))
    return found


def transitions(text: str) -> Notices:
    """What the poller has written."""
    lines = (json.loads(line) for line in text.splitlines() if line.startswith("["))
    return [(float(at_s), str(scope), str(member), bool(is_primary)) for at_s, scope, member, is_primary in lines]


def delays(
    changes: Iterable[RoleChange], notices: Notices
) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    """How long until each end and each promotion was noticed."""
    moments: dict[tuple[str, str, bool], list[float]] = {}
    for at_s, scope, member, is_primary in notices:
        moments.setdefault((scope, member, is_primary), []).append(at_s)

    def after(scope: str, member: str, is_primary: bool, since_s: float) -> float | None:
        later = [at_s - since_s for at_s in moments.get((scope, member, is_primary), ()) if at_s >= since_s]
        return min(later, default=None)

    known = list(changes)
    return (
        tuple(after(it.scope, it.old, False, it.ended_s) for it in known),
        tuple(after(it.scope, it.new, True, it.promoted_s) for it in known),
    )


def table(sides: Sequence[Side], *, clusters: int, changes: int) -> Sheet:
    """Side by side."""
    rows: list[tuple[str, ...]] = []
    for title, of in (("the old primary's end", "ends"), ("the promotion", "promotions")):
        values = [[it for it in getattr(side, of) if it is not None] for side in sides]
        rows.append((f"{title} noticed: median", *(seconds(median(some) if some else None) for some in values)))
        rows.append((f"{title} noticed: p99", *(seconds(percentile(some, 0.99) if some else None) for some in values)))
        rows.append((f"{title} noticed: worst", *(seconds(max(some, default=None)) for some in values)))
    rows += [
        ("never noticed, of both", *(f"{missed(side)}" for side in sides)),
        ("CPU at rest, of one core", *(share(side.at_rest.cpu_share) for side in sides)),
        ("CPU while roles change, of one core", *(share(side.changing.cpu_share) for side in sides)),
        ("questions a second at rest", *(f"{sum(side.asked_per_s.values()):.0f}" for side in sides)),
        ("of which GET /primary", *(f"{side.asked_per_s.get('/primary', 0):.0f}" for side in sides)),
        ("memory (RSS)", *(megabytes(side.changing.memory.rss) for side in sides)),
        ("apart: CPU of the simulated fleet", *(share(side.host_share) for side in sides)),
    ]
    title = f"{clusters * len(MEMBERS)} members in {clusters} clusters, {changes} role changes"
    return Sheet(title=title, columns=tuple(side.name for side in sides), rows=tuple(rows))


def missed(side: Side) -> int:
    """Ends and promotions that nobody has noticed."""
    return sum(it is None for it in (*side.ends, *side.promotions))


def why_broken(sides: Sequence[Side], members: int) -> str | None:
    """Why this run proves nothing: the fleet or the poller was not what it should be."""
    for side in sides:
        if side.host_share > MOST_HOST_SHARE:
            return f"the simulated fleet itself was busy ({share(side.host_share)} of a core) beside the {side.name}"
        if side.asked_per_s.get("/primary", 0.0) < LEAST_POLLS * members and side.name == POLLER:
            return f"the {side.name} has not asked {members} members once in {EVERY_S:g} s"
        if missed(side) > MOST_MISSED * 2 * len(side.ends):
            return f"the {side.name} has missed {missed(side)} of {2 * len(side.ends)}"
        typical = median(it for it in side.ends if it is not None)
        if side.name == POLLER and not 0.25 * EVERY_S <= typical <= 0.75 * EVERY_S:
            return f"who asks every {EVERY_S:g} s notices after half of that, the {side.name} after {seconds(typical)}"
    return None
