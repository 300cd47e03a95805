"""Every command, each in a file of its own, registered here."""

from importlib.metadata import version
from typing import Annotated

import typer

from trunkline.cli import agent, apply, config, demo, drain, history, plan, render, run, status, who

app = typer.Typer(
    name="trunkline",
    help="One stable line into a moving Patroni cluster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(demo.app, name="demo")
app.add_typer(config.app, name="config")
app.command()(run.run)
app.command()(agent.agent)
app.command()(render.render)
app.command()(apply.apply)
app.command()(status.status)
app.command()(plan.plan)
app.command()(plan.explain)
app.command()(drain.drain)
app.command()(drain.ready)
app.command()(history.history)
app.command()(who.who)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"trunkline {version('trunkline')}")
        raise typer.Exit


@app.callback()
def begin(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """One stable line into a moving Patroni cluster."""
