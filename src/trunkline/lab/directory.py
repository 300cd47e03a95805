"""The directory of a lab: made, found empty, or left behind by a lab that is dead. Anything else is not touched."""

from pathlib import Path

from trunkline.errors import LabError
from trunkline.lab import ending
from trunkline.lab.record import RECORD, load

ANOTHER = "choose another with --dir"


def require_usable(root: Path) -> None:
    """Refuse a directory that holds anything but a dead lab; nothing is changed."""
    try:
        entries = {entry.name for entry in root.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise LabError(f"{root} cannot be the lab's directory: {error.strerror}", hint=ANOTHER) from error
    if entries and RECORD not in entries:
        raise LabError(f"{root} is not empty and no lab has made it", hint=ANOTHER)
    if ending.members_of(root):
        raise LabError(f"a lab runs in {root}", hint=f"end it with: trunkline demo stop --dir {root}")


def prepare_directory(root: Path) -> bool:
    """Make a usable directory ours and empty; whether it was made here, and so goes with the lab."""
    try:
        root.mkdir(mode=0o700)
        return True
    except FileExistsError:
        pass
    except OSError as error:
        raise LabError(f"the directory {root} cannot be made: {error.strerror}", hint=ANOTHER) from error
    made_by_the_dead = (root / RECORD).exists() and load(root).made_directory
    ending.remove_files(root, keep_directory=True)
    root.chmod(0o700)
    return made_by_the_dead
