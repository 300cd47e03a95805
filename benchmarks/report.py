"""What a run leaves behind: a table for people, JSON with every round, a page in Markdown.

Says how numbers look; which numbers there are is `summary`'s business.
"""

import dataclasses
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.table import Table

from benchmarks.contenders import ALONE, BASELINE, OURS
from benchmarks.rounds import PAUSE_S, Round
from benchmarks.summary import FAILED, GAP, LAG, LONGEST_WAIT, METRICS, Comparison, Metric, compare, value, why_broken
from trunkline.lab import Lab
from trunkline.lab.binaries import Binary
from trunkline.lab.patroni_config import LOOP_WAIT_S, TTL_S

HEADINGS = (
    *(f"{OURS}\nmedian", "worst"),
    *(f"{ALONE}\nmedian", "worst"),
    *(f"{BASELINE}\nmedian", "worst"),
    "ratio of\nmedians",
)
SHORTLY = (("gap", GAP), ("added", LAG), ("longest wait", LONGEST_WAIT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and with what a run was made; `taken_at` is UTC in ISO 8601, times are seconds."""

    taken_at: str
    system: str
    cpus: int
    python: str
    haproxy: tuple[str, ...]
    postgresql: str
    patroni: str
    etcd: str
    members: int
    ttl_s: int
    loop_wait_s: int
    clients: int
    pause_s: float


def describe(lab: Lab, haproxies: Sequence[Binary], *, clients: int, taken_at: str) -> Machine:
    """Ask this machine and this lab."""
    return Machine(
        taken_at=taken_at,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpus=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        haproxy=tuple(map(str, haproxies)),
        postgresql=str(lab.made.binaries.postgres),
        patroni=importlib.metadata.version("patroni"),
        etcd=str(lab.made.binaries.etcd),
        members=len(lab.members),
        ttl_s=TTL_S,
        loop_wait_s=LOOP_WAIT_S,
        clients=clients,
        pause_s=PAUSE_S,
    )


def in_words(number: float, metric: Metric) -> str:
    """A number as people read it.

    >>> lag = Metric(field="lag_s", title="lag", is_time=True)
    >>> in_words(0.0426, lag), in_words(4.268, lag), in_words(math.inf, lag)
    ('43 ms', '4.27 s', 'never')
    >>> in_words(479.0, Metric(field="read_only", title="25006")), in_words(2.5, Metric(field="closed", title="closed"))
    ('479', '2.5')
    """
    if math.isinf(number):
        return "never"
    if not metric.is_time:
        return f"{number:g}"
    return f"{number * 1000:.0f} ms" if number < 1 else f"{number:.2f} s"


def ratio_in_words(ratio: float | None) -> str:
    """A ratio as people read it.

    >>> ratio_in_words(0.00937), ratio_in_words(1.0), ratio_in_words(0.0), ratio_in_words(None)
    ('0.0094', '1', '0', '–')
    """
    return "–" if ratio is None else f"{ratio:.2g}"


def round_in_words(played: Round) -> str:
    """One round on one line, while it is fresh."""
    failures = {
        metric.field: getattr(played.measures, metric.field)
        for metric in METRICS
        if not metric.is_time and metric is not FAILED and getattr(played.measures, metric.field)
    }
    times = (f"{name} {in_words(value(played, metric), metric)}" for name, metric in SHORTLY)
    counts = ", ".join(f"{count} {field}" for field, count in failures.items()) or "no failures"
    return f"{played.fault}, {played.side}: {', '.join(times)}; {played.measures.attempts} attempts, {counts}"


def _cells(row: Comparison) -> list[str]:
    numbers = [
        "–" if spread is None else in_words(number, row.metric)
        for spread in (row.ours, row.alone, row.baseline)
        for number in ((spread.median, spread.worst) if spread is not None else (0.0, 0.0))
    ]
    return [*numbers, ratio_in_words(row.ratio)]


def table(haproxy: str, rows: Sequence[Comparison]) -> Table:
    """One table for one HAProxy, a section for each fault."""
    drawn = Table(title=f"HAProxy {haproxy}", title_justify="left")
    drawn.add_column("")
    for heading in HEADINGS:
        drawn.add_column(heading, justify="right")
    for fault, of_fault in groupby(rows, key=lambda row: row.fault):
        drawn.add_row(f"[bold]{fault}[/bold]")
        for row in of_fault:
            drawn.add_row(row.metric.title, *_cells(row))
        drawn.add_section()
    return drawn


def tables(rounds: Sequence[Round]) -> list[Table]:
    """One for each HAProxy."""
    return [table(haproxy, list(rows)) for haproxy, rows in groupby(compare(rounds), key=lambda row: row.haproxy)]


def markdown(rounds: Sequence[Round]) -> str:
    """The same tables for a page."""
    lines: list[str] = []
    for (haproxy, fault), rows in groupby(compare(rounds), key=lambda row: (row.haproxy, row.fault)):
        played = len({each.number for each in rounds if (each.haproxy, each.fault) == (haproxy, fault)})
        lines += [
            f"### {fault}, HAProxy {haproxy}, {played} {'round' if played == 1 else 'rounds'} each",
            "",
            "| | " + " | ".join(heading.replace("\n", " ") for heading in HEADINGS) + " |",
            "|---|" + "---:|" * len(HEADINGS),
            *(f"| {row.metric.title} | " + " | ".join(_cells(row)) + " |" for row in rows),
            "",
        ]
    return "\n".join(lines)


def save(directory: Path, machine: Machine, rounds: Sequence[Round]) -> Path:
    """Write results.json and tables.md; what is not finished yet is written, too."""
    directory.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": dataclasses.asdict(machine),
        "broken": why_broken(rounds),
        "rounds": [dataclasses.asdict(played) for played in rounds],
    }
    results = directory / "results.json"
    results.write_text(json.dumps(content, indent=1) + "\n")
    (directory / "tables.md").write_text(markdown(rounds))
    return results
