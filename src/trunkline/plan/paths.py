"""Where the files of one HAProxy are: on a host where systemd runs it, and under a directory of our own.

Apart from `balancer`, because the command line, the supervisor and `status` ask it, too.
"""

from pathlib import Path

from trunkline.config.settings import HAProxySettings, Settings
from trunkline.model.desired import Paths

SERVICE = Paths(
    config="/etc/haproxy/haproxy.cfg",
    lua="/etc/haproxy/trunkline.lua",
    state="/etc/haproxy/trunkline.state",
    admin_socket="/run/haproxy/admin.sock",
    certificates="/etc/haproxy",
    master_socket="/run/haproxy-master.sock",
    pid="/run/haproxy.pid",
)
"""As Debian's haproxy.service has them."""


def service_paths(settings: Settings) -> Paths:
    """The files of the HAProxy that the service manager runs."""
    return _with_settings(SERVICE, settings.haproxy)


def run_paths(directory: Path, settings: Settings) -> Paths:
    """The files of the HAProxy that `trunkline run` starts: all of them in `directory`."""
    paths = Paths(
        config=str(directory / "haproxy.cfg"),
        lua=str(directory / "trunkline.lua"),
        state=str(directory / "haproxy.state"),
        admin_socket=str(directory / "admin.sock"),
        certificates=str(directory),
        master_socket=str(directory / "master.sock"),
        pid=str(directory / "haproxy.pid"),
    )
    return _with_settings(paths, settings.haproxy)


def _with_settings(paths: Paths, chosen: HAProxySettings) -> Paths:
    return Paths(
        config=str(chosen.config or paths.config),
        lua=str(chosen.lua_file or paths.lua),
        state=str(chosen.state_file or paths.state),
        admin_socket=str(chosen.socket or paths.admin_socket),
        certificates=paths.certificates,
        master_socket=paths.master_socket,
        pid=paths.pid,
    )
