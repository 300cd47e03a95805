"""How log lines look: for eyes on a terminal, with a level that journald understands under systemd, else with a time.

Everything goes to stderr; stdout is for HAProxy's own lines, one a session. A reader who has gone (a closed terminal, a
full pipe's other end) never stops the supervisor.
"""

import os
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""syslog's numbers (sd-daemon(3))."""

Event = MutableMapping[str, Any]


def configure_logging(stream: TextIO | None = None) -> None:
    """Send every log line of this process to the stream, stderr without one."""
    target = sys.stderr if stream is None else stream
    is_terminal, is_journal = target.isatty(), _is_journal(target)
    render = structlog.dev.ConsoleRenderer(
        colors=is_terminal, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )
    time = structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_terminal else "iso", utc=not is_terminal)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _with_reason,
            _printable,
            *([] if is_journal else [time]),
            _for_journal(render) if is_journal else render,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Unbreakable(target))),
    )


def in_one_piece(text: str) -> str:
    """Text from elsewhere: what a terminal would obey is escaped, further lines are set in."""
    return UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text).replace("\n", "\n    ")


def _with_reason(logger: object, method: str, event: Event) -> Event:
    """Why something is so, and what to do about it, are sentences and not values."""
    why, hint = event.pop("why", None), event.pop("hint", None)
    if why:
        event["event"] = f"{event['event']}: {why}"
    if hint:
        event["event"] = f"{event['event']}\nHINT: {hint}"
    return event


def _printable(logger: object, method: str, event: Event) -> Event:
    return {name: in_one_piece(value) if isinstance(value, str) else value for name, value in event.items()}


def _for_journal(render: structlog.dev.ConsoleRenderer) -> structlog.typing.Processor:
    """journald takes the level from a prefix of each line."""

    def rendered(logger: object, method: str, event: Event) -> str:
        prefix = f"<{PRIORITIES.get(event.pop('level', 'info'), 6)}>"
        return "\n".join(prefix + line for line in render(logger, method, event).splitlines())

    return rendered


def _is_journal(stream: TextIO) -> bool:
    """Whether what is written here ends up in the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Unbreakable:
    """A stream whose reader may go."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()
