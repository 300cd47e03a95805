"""Tables of a part's results: for a terminal, for a page in Markdown, and with all there is in JSON."""

import dataclasses
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from benchmarks.usage import load_average
from trunkline.cli.console import err, out
from trunkline.errors import TrunklineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table: `rows` begin with what they are about, `columns` are the headings of the others."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def drawn(self) -> Table:
        """For a terminal."""
        table = Table(title=self.title, title_justify="left")
        table.add_column("")
        for column in self.columns:
            table.add_column(column, justify="right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a page.

        >>> print(Sheet(title="t", columns=("a", "b"), rows=(("x", "1", "2"),)).markdown())
        ### t
        <BLANKLINE>
        | | a | b |
        |---|---:|---:|
        | x | 1 | 2 |
        <BLANKLINE>
        """
        head = ["| | " + " | ".join(self.columns) + " |", "|---|" + "---:|" * len(self.columns)]
        return "\n".join([f"### {self.title}", "", *head, *(f"| {' | '.join(row)} |" for row in self.rows), ""])


def seconds(number: float | None) -> str:
    """As people read it.

    >>> seconds(0.0426), seconds(4.268), seconds(None)
    ('43 ms', '4.27 s', 'never')
    """
    if number is None:
        return "never"
    return f"{number * 1000:.0f} ms" if number < 1 else f"{number:.2f} s"


def share(number: float) -> str:
    """A part of one core.

    >>> share(0.00834), share(0.2512)
    ('0.83 %', '25.1 %')
    """
    return f"{number:.2%}".replace("%", " %") if number < 0.1 else f"{number:.1%}".replace("%", " %")


def megabytes(number: float) -> str:
    """Bytes as people read them.

    >>> megabytes(61_500_000)
    '61.5 MB'
    """
    return f"{number / 1e6:.1f} MB"


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest of the values that is not exceeded by that part of them.

    >>> percentile([3.0, 1.0, 2.0], 0.5), percentile([float(n) for n in range(1, 101)], 0.99)
    (2.0, 99.0)
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * round(part * 1000) // 1000) - 1))]


def say(text: str) -> None:
    """What is going on."""
    err.print(text, markup=False, soft_wrap=True)


def machine(**more: object) -> Mapping[str, object]:
    """Where and when this is measured."""
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_average_before": load_average(),
        **more,
    }


def finish(directory: Path, sheets: Sequence[Sheet], content: Mapping[str, object], broken: str | None) -> None:
    """Show and write everything; raises TrunklineError where the run proves nothing."""
    directory.mkdir(parents=True, exist_ok=True)
    for sheet in sheets:
        out.print(sheet.drawn())
    (directory / "tables.md").write_text("\n".join(sheet.markdown() for sheet in sheets))
    text = json.dumps({"broken": broken, **content}, indent=1, default=_plain)
    (directory / "results.json").write_text(text + "\n")
    say(f"written: {directory}: results.json, tables.md")
    if broken:
        raise TrunklineError(f"the benchmark is broken: {broken}", hint="try again on a calmer machine")


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is nothing for JSON")
