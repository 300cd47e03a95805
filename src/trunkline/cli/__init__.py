"""The command line: faces only. Every command lives in a file of its own and is registered here."""

import sys

import typer

from trunkline.cli import apply, config, demo, render, run, status, who
from trunkline.cli.console import complain
from trunkline.errors import TrunklineError

app = typer.Typer(
    name="trunkline",
    help="One stable line into a moving Patroni cluster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(demo.app, name="demo")
app.add_typer(config.app, name="config")
app.command()(run.run)
app.command()(render.render)
app.command()(apply.apply)
app.command()(status.status)
app.command()(who.who)


def main() -> None:
    """Run the command line; an error of ours is one message and a hint, never a traceback."""
    try:
        app()
    except TrunklineError as error:
        complain(error)
        sys.exit(error.exit_code)
