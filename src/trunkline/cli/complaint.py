"""How an error and a warning look. What draws them is loaded where there is one: most commands never have any."""

from trunkline.errors import TrunklineError


def complain(error: TrunklineError) -> None:
    """Print an error the way pgBackRest does: the message, then the remedy on a HINT line."""
    from trunkline.cli.console import err

    err.print(f"trunkline: {error.message}", style="red", markup=False, soft_wrap=True)
    if error.hint:
        err.print(f"HINT: {error.hint}", markup=False, soft_wrap=True)


def warn(warning: object) -> None:
    """What should not stay as it is, and keeps nobody from going on."""
    from trunkline.cli.console import err

    err.print(f"trunkline: {warning}", style="yellow", markup=False, soft_wrap=True)
