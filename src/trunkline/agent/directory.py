"""The directory of a run: made, or refused where others could write into it; and where it keeps what lasts."""

import os
import stat
from pathlib import Path

from trunkline.errors import HAProxyError

SOCKET_PATH_BYTES = 97
"""What HAProxy leaves of the 108 bytes of a unix socket's path."""

VOLATILE, USERS, LASTING = Path("/run"), Path("/run/user"), Path("/var/lib")


def lasting(directory: Path) -> Path:
    """Where a run in `directory` keeps what shall outlive the host's next boot, which empties /run."""
    if VOLATILE not in directory.parents:
        return directory
    if USERS in directory.parents:  # $XDG_RUNTIME_DIR
        return Path.home() / ".local" / "state" / Path(*directory.relative_to(USERS).parts[1:])
    return LASTING / directory.relative_to(VOLATILE)


def prepare(directory: Path, *, is_shared: bool = False) -> None:
    """Make the directory, or refuse one that others could put files into: HAProxy runs what is in it."""
    try:
        directory.mkdir(mode=0o711 if is_shared else 0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError as error:
        raise HAProxyError(f"cannot use {directory}: {error.strerror or error}", hint="choose another --dir") from None
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
        raise HAProxyError(
            f"{directory} may be written by others, and HAProxy runs what is in it",
            hint="choose a --dir that belongs to you and that only you can write",
        )
    for path in (directory / "master.sock", directory / "admin.sock"):
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
            raise HAProxyError(
                f"{path} is too long for a unix socket ({SOCKET_PATH_BYTES} bytes)", hint="choose a shorter --dir"
            )
