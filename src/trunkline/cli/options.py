"""The options that every command with settings shares, and the settings that they lead to."""

import os
from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.complaint import warn
from trunkline.config.load import LoadedSettings, load_settings
from trunkline.config.settings import Settings

PANEL = "Which cluster, which settings"

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Settings file. Without it: $TRUNKLINE_CONFIG, else /etc/trunkline/trunkline.yml if there is one.",
        rich_help_panel=PANEL,
    ),
]
PatroniOption = Annotated[
    list[str] | None,
    typer.Option(
        "--patroni",
        metavar="URL",
        help="REST API of a member, as http://10.0.0.11:8008; may be given several times.",
        rich_help_panel=PANEL,
    ),
]
ScopeOption = Annotated[
    str | None, typer.Option("--scope", metavar="NAME", help="Name of the cluster.", rich_help_panel=PANEL)
]
PatroniConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--patroni-config",
        metavar="FILE",
        help="Configuration of the Patroni on this host, to take scope, REST address and TLS from.",
        rich_help_panel=PANEL,
    ),
]

DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="Where configuration, sockets and state are kept. Without it: /run/trunkline as root, "
        "else $XDG_RUNTIME_DIR/trunkline, else ~/.local/state/trunkline.",
    ),
]


def settings_from(
    config: Path | None = None,
    patroni: list[str] | None = None,
    scope: str | None = None,
    patroni_config: Path | None = None,
    **others: object,
) -> Settings:
    """The settings that a command runs with. `others`: further flags by setting, `haproxy__binary` is
    `haproxy.binary`; None is not given. Raises SettingsError."""
    return loaded_from(config, patroni, scope, patroni_config, **others).settings


def loaded_from(
    config: Path | None = None,
    patroni: list[str] | None = None,
    scope: str | None = None,
    patroni_config: Path | None = None,
    **others: object,
) -> LoadedSettings:
    """The same, with where each value comes from; what should not stay as it is, is said on stderr."""
    overrides: dict[str, object] = {"patroni": patroni or None, "scope": scope}
    overrides |= {name.replace("__", "."): value for name, value in others.items()}
    loaded = load_settings(config, environ=os.environ, overrides=overrides, patroni_config=patroni_config)
    for warning in loaded.warnings:
        warn(warning)
    return loaded
