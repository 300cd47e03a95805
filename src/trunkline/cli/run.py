"""`trunkline run`: HAProxy in front of the clusters of the settings, in the foreground. Owns options and words only."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trunkline.agent.logs import configure_logging
from trunkline.agent.run import run as run_agent
from trunkline.cli.options import (
    ConfigOption,
    DirectoryOption,
    PatroniConfigOption,
    PatroniOption,
    ScopeOption,
    settings_from,
)
from trunkline.config.settings import Settings
from trunkline.operate.places import find_directory

HAProxyOption = Annotated[
    Path | None,
    typer.Option("--haproxy", metavar="PROGRAM", help="Which HAProxy. Without it: the newest there is."),
]


def run(
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    directory: DirectoryOption = None,
    haproxy: HAProxyOption = None,
    no_agent: Annotated[
        bool, typer.Option("--no-agent", help="Leave everything to HAProxy's own checks; see `trunkline agent`.")
    ] = False,
) -> None:
    """Run HAProxy in front of a Patroni cluster: 5000 leads to the primary, 5001 to the replicas.

    It learns the members from Patroni, starts HAProxy, follows joins and leaves, and starts HAProxy again if it dies.
    An API that cannot be reached is waited for. SIGHUP reads the settings again; SIGTERM or Ctrl-C lets sessions end
    for `haproxy.drain_timeout_s`, a second one ends them at once. After a `kill -9` HAProxy serves on, and the next
    run with the same DIR takes it over.

    Our own lines go to stderr, HAProxy's (one for each session) to stdout.
    """

    def load_settings() -> Settings:
        others = {"haproxy__binary": haproxy, "agent__enabled": False if no_agent else None}
        return settings_from(config, patroni, scope, patroni_config, directory=directory, **others)

    settings = load_settings()
    configure_logging()
    home = find_directory(settings).absolute()
    words = agent_command(home, config, patroni, scope, patroni_config)
    asyncio.run(run_agent(settings, home, load_settings, words))


def agent_command(
    directory: Path, config: Path | None, patroni: Sequence[str] | None, scope: str | None, patroni_config: Path | None
) -> tuple[str, ...]:
    """The command line of an agent that reads the same settings, as a child."""
    words = [sys.executable, "-m", "trunkline", "agent", "--child", "--dir", str(directory)]
    words += ["--config", str(config)] if config else []
    words += [word for url in patroni or () for word in ("--patroni", url)]
    words += ["--scope", scope] if scope else []
    words += ["--patroni-config", str(patroni_config)] if patroni_config else []
    return tuple(words)
