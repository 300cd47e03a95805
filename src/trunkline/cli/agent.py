"""`trunkline agent`: steers a HAProxy that somebody else runs. Owns options and words only."""

import asyncio
from typing import Annotated

import typer

from trunkline.agent.attached import attach
from trunkline.agent.directory import prepare
from trunkline.agent.logs import configure_logging
from trunkline.cli.options import (
    ConfigOption,
    DirectoryOption,
    PatroniConfigOption,
    PatroniOption,
    ScopeOption,
    settings_from,
)
from trunkline.config.settings import Settings
from trunkline.model.desired import HostFacts, Paths
from trunkline.operate.places import find_directory, find_haproxy


def agent(
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    directory: DirectoryOption = None,
    is_child: Annotated[
        bool, typer.Option("--child", hidden=True, help="End with whoever holds the other end of stdin.")
    ] = False,
    checks_fd: Annotated[
        int | None, typer.Option("--checks-fd", hidden=True, help="A socket that HAProxy tells of failed checks.")
    ] = None,
    strangers_fd: Annotated[
        int | None, typer.Option("--strangers-fd", hidden=True, help="A socket that is told of unknown members.")
    ] = None,
) -> None:
    """Steer HAProxy: faster than its checks, with a second opinion before anybody is cut off.

    `trunkline run` starts one by itself; alone it attaches to the HAProxy that the service manager runs. It asks each
    member's REST API, PostgreSQL's port and the cluster's store, tells HAProxy at once what changes, and ends sessions
    to a server that must not have them. Members come and go without a reload: HAProxy is told of them, and the files
    that `trunkline apply` wrote are rewritten for its next start. Whatever it sets that would stay is leased: HAProxy
    undoes it within 2 s when the agent is no longer there, and goes on with its own checks.
    """
    settings = settings_from(config, patroni, scope, patroni_config, directory=directory)
    configure_logging()
    home = find_directory(settings).absolute()
    prepare(home)
    paths = find_haproxy(settings)
    host = None if is_child else _host(settings, paths)
    asyncio.run(attach(settings, home, paths, host, checks_fd=checks_fd, strangers_fd=strangers_fd))


def _host(settings: Settings, paths: Paths) -> HostFacts:
    """What makes configurations is loaded where an agent makes any: 5 MB of memory less for a child."""
    from trunkline.operate.apply import find_running, host_facts

    return host_facts(settings, find_running(paths))


app = typer.Typer(
    name="trunkline",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(agent)
app.callback()(lambda: None)
