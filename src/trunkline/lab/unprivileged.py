"""How PostgreSQL runs when we are root, which it refuses to be.

A user namespace in which root bears the name of an ordinary user needs no user to be made, no files to be given away,
and leaves the process visible and killable. Where namespaces are forbidden (many containers), the processes run as
the user `nobody`, whom the lab's directory is given to.
"""

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from trunkline.errors import LabError


@dataclass(frozen=True, slots=True, kw_only=True)
class Disguise:
    """What to put before a command, or which user to run it as; neither for ordinary people."""

    prefix: tuple[str, ...] = ()
    user: int | None = None
    words: str = "you"


def find_disguise() -> Disguise:
    """The way that works here."""
    if os.geteuid() != 0:
        return Disguise()
    # initdb looks its user up, so it must be one that exists, and any will do.
    user = _ordinary_user()
    unshare = shutil.which("unshare", path="/usr/bin:/bin:" + os.environ.get("PATH", ""))
    prefix = (unshare or "unshare", "--user", f"--map-user={user}", f"--map-group={user}", "--")
    if unshare and _works([*prefix, "true"]):
        return Disguise(prefix=prefix, words="root in a user namespace")
    if not _works([sys.executable, "-c", "import patroni"], user=user):
        raise LabError(
            "PostgreSQL does not run as root, user namespaces are not allowed here, and other users may not "
            f"run {sys.executable}",
            hint="run this as an ordinary user",
        )
    return Disguise(user=user, words=f"user {user}, as user namespaces are not allowed here")


def hand_over(directory: Path, disguise: Disguise) -> None:
    """Give a member's directory to the user that its processes run as, if that is another one than ours.

    That user may pass through the directories above, but sees nothing in them.
    """
    if disguise.user is not None:
        for above in (directory.parent, directory.parent.parent):
            above.chmod(0o711)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, disguise.user, disguise.user)


def _ordinary_user() -> int:
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid > 0), 65534)


def _works(command: list[str], user: int | None = None) -> bool:
    groups: list[int] | None = None if user is None else []
    try:
        answer = subprocess.run(
            command, capture_output=True, timeout=20, check=False, cwd="/", user=user, group=user, extra_groups=groups
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0
