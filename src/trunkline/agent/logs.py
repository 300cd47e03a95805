"""How log lines look: for eyes on a terminal, as fields in systemd's journal, as a line of JSON anywhere else.

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

from trunkline.adapters.journal import Journal

UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
NO_NAME = re.compile(r"[^A-Z0-9_]")
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""syslog's numbers (sd-daemon(3))."""

Event = MutableMapping[str, Any]


def configure_logging(stream: TextIO | None = None, journal: Journal | None = None) -> None:
    """Send every log line of this process to the stream, stderr without one. `journal`: for tests."""
    target = sys.stderr if stream is None else stream
    time = structlog.processors.TimeStamper(fmt="%H:%M:%S" if target.isatty() else "iso", utc=not target.isatty())
    last: list[structlog.typing.Processor]
    if _is_journal(target):
        last = [_in_sentences, _printable, _ToJournal(journal or Journal())]
    elif target.isatty():
        last = [time, _in_sentences, _printable, _for_eyes(colors=True)]
    else:
        exceptions = structlog.processors.format_exc_info
        last = [time, exceptions, _in_order, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[structlog.processors.add_log_level, *last],
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Unbreakable(target))),
    )


def in_one_piece(text: str) -> str:
    """Text from elsewhere: what a terminal would obey is escaped, further lines are set in."""
    return UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text).replace("\n", "\n    ")


def _for_eyes(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=colors, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )


def _in_sentences(logger: object, method: str, event: Event) -> Event:
    """Why something is so, and what to do about it, are sentences and not values."""
    why, hint = event.pop("why", None), event.pop("hint", None)
    if why:
        event["event"] = f"{event['event']}: {why}"
    if hint:
        event["event"] = f"{event['event']}\nHINT: {hint}"
    return event


def _in_order(logger: object, method: str, event: Event) -> Event:
    """When, how grave, what; then the rest."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    return {**first, **event}


def _printable(logger: object, method: str, event: Event) -> Event:
    return {name: in_one_piece(value) if isinstance(value, str) else value for name, value in event.items()}


class _ToJournal:
    """The last processor where stderr is the journal: entries with fields, or lines with a level where that fails."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._render = _for_eyes(colors=False)

    def __call__(self, logger: object, method: str, event: Event) -> str:
        priority = PRIORITIES.get(event.pop("level", "info"), 6)
        known = {name: str(value) for name, value in event.items() if name not in ("event", "exc_info")}
        text = self._render(logger, method, event)
        fields = {f"TRUNKLINE_{NO_NAME.sub('_', name.upper())}": value for name, value in known.items()}
        try:
            self._journal.send({"MESSAGE": text, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "trunkline", **fields})
        except OSError:
            return "\n".join(f"<{priority}>{line}" for line in text.splitlines())
        raise structlog.DropEvent


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
