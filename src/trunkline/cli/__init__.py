"""The command line: faces only, one file for each command (`commands`). Here is how it begins and how it fails."""

import signal
import sys
from collections.abc import Callable

from trunkline.errors import TrunklineError

REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What `trunkline run` may be asked for."""


def _app() -> Callable[[], object]:
    """All commands; for the agent, which stays for long beside others, itself alone: a fifth less memory."""
    if sys.argv[1:2] == ["agent"]:
        _load_logging_without_rich()
        from trunkline.cli.agent import app

        return app
    from trunkline.cli.commands import app as commands

    return commands


def _load_logging_without_rich() -> None:
    """structlog loads rich where there is one, for tracebacks in colours, which `agent.logs` draws for nobody: 3 MB."""
    sys.modules["rich"] = None  # type: ignore[assignment]  # how Python is told that there is no such module
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


def main() -> None:
    """Run the command line; an error of ours is one message and a hint, never a traceback."""
    if sys.argv[1:2] == ["run"]:
        # Half a second passes before it listens. A SIGTERM in it must end the HAProxy that an earlier run has left,
        # too, so requests wait until they are understood (`trunkline.agent.run`).
        signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)

    try:
        # Here, so that Ctrl-C while they are read is no traceback either.
        from trunkline.cli.complaint import complain

        _app()()
    except TrunklineError as error:
        complain(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
