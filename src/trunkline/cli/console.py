"""The two consoles, and how an error looks."""

from rich.console import Console

from trunkline.errors import TrunklineError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def complain(error: TrunklineError) -> None:
    """Print an error the way pgBackRest does: the message, then the remedy on a HINT line."""
    err.print(f"trunkline: {error.message}", style="red", markup=False, soft_wrap=True)
    if error.hint:
        err.print(f"HINT: {error.hint}", markup=False, soft_wrap=True)
