"""The directory of a lab: made, found empty, or left behind by a lab that is dead. Anything else is not touched."""

from pathlib import Path

from trunkline.errors import LabError
from trunkline.lab import ending
from trunkline.lab.record import RECORD, load


def prepare_directory(root: Path) -> bool:
    """Make the directory ours; whether it was made here (and so goes with the lab)."""
    try:
        root.mkdir(mode=0o700)
        return True
    except FileExistsError:
        return _take_over(root)
    except OSError as error:
        raise LabError(
            f"the directory {root} cannot be made: {error.strerror}", hint="choose another with --dir"
        ) from error


def _take_over(root: Path) -> bool:
    try:
        entries = {entry.name for entry in root.iterdir()}
    except OSError as error:
        raise LabError(f"{root} is no directory of ours: {error.strerror}", hint="choose another with --dir") from error
    if not entries:
        root.chmod(0o700)
        return False
    if RECORD not in entries:
        raise LabError(f"{root} is not empty and no lab has made it", hint="choose another with --dir")
    if ending.members_of(root):
        raise LabError(f"a lab runs in {root}", hint=f"end it with: trunkline demo stop --dir {root}")
    made_directory = load(root).made_directory
    ending.remove_files(root, keep_directory=True)
    return made_directory
