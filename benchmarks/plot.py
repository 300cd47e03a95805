"""The plot: one figure for each HAProxy, a dot for each round, a bar at the median. Knows no number that it draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from benchmarks.contenders import ALONE, BASELINE, OURS, SIDES
from benchmarks.report import Machine, in_words
from benchmarks.rounds import CALM_TIMEOUT_S, Round
from benchmarks.summary import FAILED, LAG, LONGEST_WAIT, READ_ONLY, Metric, select, value

COLOURS = {OURS: "#0b6e99", ALONE: "#7a8f3c", BASELINE: "#c8553d"}
NAMES = {OURS: "trunkline run", ALONE: "without its agent", BASELINE: "template of Patroni's documentation"}
INK, MUTED, RULE = "#22272e", "#6b7280", "#e3e6ea"
SHORTEST_S = 0.001
# Rounds of one row lie beside each other, so that equal ones can be counted.
SPREAD = 0.26
FORMATS = ("png", "svg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One metric in a field of its own."""

    metric: Metric
    title: str


PANELS = (
    Panel(metric=LAG, title="Added by the balancer: primary writable → written through the port"),
    Panel(metric=LONGEST_WAIT, title="Longest wait of one client, retries included"),
    Panel(metric=READ_ONLY, title="Statements refused with 25006: sent to a read-only server"),
    Panel(metric=FAILED, title="Failed attempts of every kind, after the old primary was gone"),
)


def draw(directory: Path, machine: Machine, rounds: Sequence[Round]) -> list[Path]:
    """Write `benchmark-haproxy-VERSION.png` and `.svg` for each HAProxy."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for haproxy in dict.fromkeys(played.haproxy for played in rounds):
        figure = _figure(machine, haproxy, [played for played in rounds if played.haproxy == haproxy])
        for kind in FORMATS:
            path = directory / f"benchmark-haproxy-{haproxy}.{kind}"
            # Without a date and random names within, the same results give the same file.
            with rc_context({"svg.hashsalt": "trunkline"}):
                figure.savefig(path, dpi=150, facecolor="white", metadata={"Date": None} if kind == "svg" else None)
            paths.append(path)
    return paths


def _figure(machine: Machine, haproxy: str, rounds: Sequence[Round]) -> Figure:
    faults = list(dict.fromkeys(played.fault for played in rounds))
    figure = Figure(figsize=(12, 3.4 + 0.65 * len(SIDES) * len(faults)))
    figure.subplots_adjust(left=0.1, right=0.985, top=0.82, bottom=0.09, hspace=0.3, wspace=0.06)
    grid = figure.subplots(2, 2, sharey=True)
    for panel, axes in zip(PANELS, grid.flat, strict=True):
        _draw_panel(axes, panel, haproxy, faults, rounds)
    figure.text(0.015, 0.945, "A role change as clients of the write port live through it", fontsize=15, color=INK)
    figure.text(0.015, 0.905, _subtitle(machine, haproxy, rounds), fontsize=9.5, color=MUTED)
    handles = [
        Line2D([], [], color=COLOURS[side], marker="o", linestyle="none", label=NAMES[side], alpha=0.8)
        for side in SIDES
    ]
    figure.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(0.995, -0.01), frameon=False, fontsize=10, ncols=len(SIDES)
    )
    figure.text(
        0.015, 0.015, "a dot: one round · a bar: the median · logarithmic scales · less is better",
        fontsize=9, color=MUTED,
    )  # fmt: skip
    return figure


def _subtitle(machine: Machine, haproxy: str, rounds: Sequence[Round]) -> str:
    count = max(played.number for played in rounds)
    return (
        f"{machine.clients} clients connect, insert and close in loops · {count} "
        f"{'round' if count == 1 else 'rounds'} each, alternating · HAProxy {haproxy}, "
        f"PostgreSQL {machine.postgresql.split()[0]}, Patroni {machine.patroni} "
        f"(ttl {machine.ttl_s}, loop_wait {machine.loop_wait_s}) · {machine.cpus} CPUs, {machine.taken_at[:10]}"
    )


def _draw_panel(axes: Axes, panel: Panel, haproxy: str, faults: Sequence[str], rounds: Sequence[Round]) -> None:
    rows = [(fault, side) for fault in faults for side in SIDES]
    for row, (fault, side) in enumerate(rows):
        values = [
            _drawable(value(played, panel.metric), panel.metric) for played in select(rounds, haproxy, fault, side)
        ]
        _draw_row(axes, -row - 0.35 * (row // len(SIDES)), values, panel.metric, COLOURS[side])
    axes.set_title(panel.title, loc="left", fontsize=10.5, color=INK)
    _scale(axes, panel.metric)
    centres = [-(len(SIDES) + 0.35) * number - (len(SIDES) - 1) / 2 for number in range(len(faults))]
    axes.set_yticks(centres, faults, fontsize=10, color=INK)
    axes.tick_params(axis="both", length=0, labelsize=9, colors=MUTED)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(RULE)


def _draw_row(axes: Axes, height: float, values: Sequence[float], metric: Metric, colour: str) -> None:
    if not values:
        return
    step = 2 * SPREAD / max(1, len(values) - 1)
    heights = [height + SPREAD - number * step if len(values) > 1 else height for number in range(len(values))]
    axes.scatter(values, heights, s=26, color=colour, alpha=0.55, linewidths=0, zorder=3)
    middle = median(values)
    axes.plot([middle, middle], [height - 0.38, height + 0.38], color=colour, linewidth=2.6, zorder=4)
    axes.annotate(
        in_words(middle, metric), (max(values), height), xytext=(9, 0), textcoords="offset points",
        va="center", fontsize=9.5, color=colour, fontweight="bold",
    )  # fmt: skip


def _drawable(number: float, metric: Metric) -> float:
    """A logarithmic axis has no zero, and none has an infinity."""
    if math.isinf(number):
        return CALM_TIMEOUT_S
    return max(number, SHORTEST_S) if metric.is_time else number


def _scale(axes: Axes, metric: Metric) -> None:
    if metric.is_time:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, 0.008), max(high, 20) * 3)
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda number, _: f"{number:g} s" if number >= 1 else f"{number * 1000:g} ms")
        )
    else:
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)
        axes.set_xlim(-0.15, max(axes.get_xlim()[1], 1000) * 3)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
