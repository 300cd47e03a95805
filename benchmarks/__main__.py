"""`python -m benchmarks`: one part of the benchmark, or all of them one after the other."""

import sys
from collections.abc import Callable

import typer

from benchmarks import churn, fence, fleet, reroute, rest
from trunkline.cli.complaint import complain
from trunkline.cli.console import err
from trunkline.errors import TrunklineError

PARTS: dict[str, Callable[..., None]] = {
    "rest": rest.rest,
    "churn": churn.churn,
    "fleet": fleet.fleet,
    "fence": fence.fence,
    "reroute": reroute.reroute,
}
"""The shortest first."""

ROUNDS = 2
"""Of role changes, when all parts are played: as many as `fence` and `reroute` play alone are more than an hour."""


def everything(context: typer.Context) -> None:
    """What Trunkline costs and what it is worth, measured on this machine beside what others do.

    Without a part: all of them, with their own defaults, but two rounds of role changes. A part that proves nothing
    says so, and the run exits 1.
    """
    if context.invoked_subcommand is not None:
        return
    failed: list[TrunklineError] = []
    for name, part in PARTS.items():
        err.print(f"[bold]{name}[/bold]")
        try:
            part(**{"rounds": ROUNDS} if part in (fence.fence, reroute.reroute) else {})
        except TrunklineError as error:
            complain(error)
            failed.append(error)
    if failed:
        raise typer.Exit(failed[0].exit_code)


def main() -> None:
    """An error of ours is one message and a hint, never a traceback."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(everything)
    for name, part in PARTS.items():
        app.command(name)(part)
    try:
        app()
    except TrunklineError as error:
        complain(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
