"""`trunkline config ...`: what the settings are, where they come from, and what they may be."""

import json

import typer

from trunkline.cli.console import out
from trunkline.cli.options import ConfigOption, PatroniConfigOption, PatroniOption, ScopeOption, loaded_from
from trunkline.config.manual import manual
from trunkline.config.schema import settings_schema
from trunkline.config.show import settings_text

app = typer.Typer(help="Settings: show, check, describe.", no_args_is_help=True)


@app.command()
def show(
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
) -> None:
    """Print the settings in force as a settings file, each with where it comes from. Passwords are not shown."""
    typer.echo(settings_text(loaded_from(config, patroni, scope, patroni_config)), nl=False)


@app.command()
def check(
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
) -> None:
    """Judge the settings and touch nothing: exit code 0 when they are right, 2 with every fault when not."""
    loaded = loaded_from(config, patroni, scope, patroni_config)
    read = [str(path) for path in (loaded.file, loaded.patroni_config) if path is not None]
    out.print(f"the settings are right ({', '.join(read) or 'no file was read'})", markup=False, soft_wrap=True)


@app.command()
def schema() -> None:
    """Print a JSON Schema of the settings file, for editors."""
    typer.echo(json.dumps(settings_schema(), indent=2, ensure_ascii=False))


@app.command(name="manual")
def print_manual() -> None:
    """Print the manual of all settings, as Markdown."""
    typer.echo(manual(), nl=False)
