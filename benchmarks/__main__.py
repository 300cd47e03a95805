"""`python -m benchmarks`: one part of the benchmark, or all of them one after the other."""

import sys
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from benchmarks import churn, fence, fleet, reroute, rest
from trunkline.cli.complaint import complain
from trunkline.cli.console import err
from trunkline.errors import TrunklineError, UsageError

PARTS: dict[str, Callable[..., None]] = {
    "rest": rest.rest,
    "churn": churn.churn,
    "fleet": fleet.fleet,
    "fence": fence.fence,
    "reroute": reroute.reroute,
}
"""The shortest first."""

ROUNDS = {"reroute": reroute.ROUNDS, "fence": 2}
"""Of role changes, when all parts are played; `fence` alone plays 50 of its own, which are half an hour."""

OTHERS_TAKE_S = 18 * 60


def rounds_of_all(asked: int | None) -> dict[str, int]:
    """How often each part that changes roles does it."""
    return {part: asked or usual for part, usual in ROUNDS.items()}


def minutes_of_all(rounds: Mapping[str, int]) -> int:
    """About how long all parts take together."""
    takes_s = reroute.takes_s(rounds["reroute"]) + rounds["fence"] * fence.ROUND_TAKES_S + OTHERS_TAKE_S
    return round(takes_s / 60)


def everything(
    context: typer.Context,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="How often each role change is played.",
            show_default=", ".join(f"{number} of {part}" for part, number in ROUNDS.items()),
        ),
    ] = None,
) -> None:
    """What Trunkline costs and what it is worth, measured on this machine beside what others do.

    Without a part: all of them, in little more than an hour, with their own defaults but for the rounds of `fence`. A
    part that proves nothing says so, and the run exits 1.
    """
    if context.invoked_subcommand is not None:
        if rounds is not None:
            words = f"{context.invoked_subcommand} --rounds {rounds}"
            raise UsageError("--rounds before a part is of all parts", hint=f"write it behind: {words}")
        return
    played = rounds_of_all(rounds)
    told = ", ".join(f"{number} rounds of {part}" for part, number in played.items())
    err.print(f"all parts take about {minutes_of_all(played)} min, with {told}; fewer of them: --rounds N")
    failed: list[TrunklineError] = []
    for name, part in PARTS.items():
        err.print(f"[bold]{name}[/bold]")
        try:
            part(**{"rounds": played[name]} if name in played else {})
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
