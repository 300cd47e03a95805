"""How the start of the demo is shown: a board of steps on a terminal, one line per change elsewhere."""

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from trunkline.lab.bringup import Progress, Step

DONE = "✓"


def picture(latest: Mapping[Step, Progress], spinner: RenderableType, elapsed_s: float) -> RenderableType:
    """All steps, those that are done ticked off, the present one with a spinner. Pure."""
    table = Table.grid(padding=(0, 1))
    for step in Step:
        progress = latest.get(step)
        if progress is None:
            table.add_row("", Text(step.value, style="dim"), "")
        elif progress.is_done:
            table.add_row(Text(DONE, style="green"), step.value, Text(progress.detail, style="dim"))
        else:
            table.add_row(spinner, Text(step.value, style="bold"), progress.detail)
    table.add_row("", Text(f"{elapsed_s:.0f} s", style="dim"), "")
    return table


class ProgressBoard:
    """Shows what `trunkline.lab.bringup` tells; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._latest: dict[Step, Progress] = {}
        self._began = time.monotonic()
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._picture, console=console, refresh_per_second=8)

    def __enter__(self) -> "ProgressBoard":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def tell(self, progress: Progress) -> None:
        """A step began, went on, or is done; the same news twice is no news."""
        if self._latest.get(progress.step) == progress:
            return
        self._latest[progress.step] = progress
        if not self._console.is_terminal:
            elapsed_s = time.monotonic() - self._began
            self._console.print(f"{elapsed_s:5.1f} s  {progress.step}: {progress.detail}", markup=False, soft_wrap=True)

    def _picture(self) -> RenderableType:
        return picture(self._latest, self._spinner, time.monotonic() - self._began)
