"""Which HAProxy of this host is meant: the one of `trunkline run`, or the one of the service manager.

Apart from `plan.paths`, which knows where the files of each are: this looks which of them are there.
"""

import os
from pathlib import Path

from trunkline.config.settings import Settings
from trunkline.model.desired import Paths
from trunkline.plan.paths import run_paths, service_paths


def find_directory(settings: Settings) -> Path:
    """Where `trunkline run` keeps its files with these settings."""
    if settings.directory is not None:
        return settings.directory
    if os.geteuid() == 0:
        return Path("/run/trunkline")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime or Path.home() / ".local" / "state") / "trunkline"


def find_haproxy(settings: Settings) -> Paths:
    """The files of the HAProxy that these settings are about."""
    ours = run_paths(find_directory(settings), settings)
    is_ours = settings.directory is not None or Path(ours.admin_socket).exists()
    return ours if is_ours else service_paths(settings)
