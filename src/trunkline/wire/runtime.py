"""HAProxy's replies on its admin and master sockets to values, for 2.6 to current.

Owns which columns and words matter; asking is `trunkline.adapters.runtime_socket`. Source: HAProxy's management guide,
section 9. A reply that is cut short or is none of HAProxy's is a `RuntimeSocketError`, never another exception.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from operator import itemgetter

from trunkline.errors import RuntimeSocketError
from trunkline.model.proxy import Health, ProcessInfo, ProxyState, ServerState, Session

ERROR_SEVERITY = 4
"""syslog's numbers: emergency 0 to warning 4 mean that it was not done; notice 5 and info 6 tell what was."""

LINE_ERROR_SEVERITY = 3
"""`set server P/S addr` tells as a warning what it has done."""

FRONTEND, BACKEND, SERVER = "0", "1", "2"
"""The column `type` of `show stat`; 3 is a listener."""

NEEDED = ("pxname", "svname", "type", "status", "scur", "qcur", "slim", "check_status", "check_code", "addr")
FAILED_CONNECTS = ("econ", "wretr", "wredis")
USED = (*NEEDED, "check_duration", "check_desc", "last_chk", "lastchg", "bck", "iid", "stot", *FAILED_CONNECTS)
MOST_DIGITS = 20
NO_SUCH_PROXY = f"[{LINE_ERROR_SEVERITY}]: No such proxy."
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Row = Mapping[str, str]
NO_ROW: Row = dict.fromkeys(USED, "")


class UnknownCommandError(RuntimeSocketError):
    """HAProxy does not know the command: it is too old for it, or its configuration lacks our Lua."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker of `show proc`; `is_old`: a reload left it behind with its sessions."""

    pid: int
    is_old: bool


def parse_reply(reply: str) -> str:
    """What HAProxy said, without the severity before it; a refusal is raised."""
    text = reply.strip("\r\n")
    found = re.match(r"\[([0-7])\]: ?", text)
    told = text[found.end() :] if found else text
    # a command that HAProxy does not know comes with the severity "info" and the list of those that it knows
    if told.startswith("Unknown command"):
        raise UnknownCommandError("this HAProxy does not know the command")
    is_denied = told.startswith(("Permission denied", "Can't find the target PID"))
    if is_denied or (found and int(found[1]) <= ERROR_SEVERITY):
        raise RuntimeSocketError(f"HAProxy refused: {told.splitlines()[0].strip() if told else 'without a word'}")
    return told


def require_all_done(reply: str) -> None:
    """The answers to several commands of one line; the first refusal among them is raised."""
    for line in reply.splitlines():
        found = re.match(r"\[([0-7])\]: ?(.*)", line)
        told = (found[2] if found else line).strip()
        is_error = found is not None and int(found[1]) <= LINE_ERROR_SEVERITY
        if is_error or told.startswith(("Unknown command", "Permission denied", "refused:")):
            raise RuntimeSocketError(f"HAProxy refused: {told or 'without a word'}")


def parse_info(text: str) -> ProcessInfo:
    """`show info`."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    try:
        return ProcessInfo(
            version=fields["Version"].strip(),
            pid=int(fields["Pid"]),
            uptime_s=int(fields["Uptime_sec"]),
            maxconn=int(fields["Maxconn"]),
            is_stopping=fields.get("Stopping", "0").strip() != "0",
        )
    except (KeyError, ValueError):
        raise _unusable("show info") from None


def split_before_stat(reply: str) -> tuple[str, str]:
    """The answer to some command, and that to a `show stat` after it on the same line; "" where there is none.

    >>> split_before_stat("pid 4711\\n\\n# pxname,svname,\\n")
    ('pid 4711\\n\\n', '# pxname,svname,\\n')
    """
    found = re.search(r"^(?:\[[0-7]\]: ?)?# pxname,", reply, re.MULTILINE)
    return (reply, "") if found is None else (reply[: found.start()], reply[found.start() :])


def parse_stat(text: str) -> tuple[ProxyState, ...]:
    """`show stat`, once or several times in a row: all proxies, sorted by name."""
    rows: dict[str, list[Row]] = {}
    for row in _rows(text):
        rows.setdefault(row["pxname"], []).append(row)
    try:
        return tuple(_proxy(name, rows[name]) for name in sorted(rows))
    except ValueError:
        raise _unusable("show stat") from None


def parse_stat_of_some(text: str) -> tuple[ProxyState, ...]:
    """Any number of `show stat ID …`: those that there are."""
    lines = text.splitlines(keepends=True)
    found = "".join(line for line in lines if not line.startswith(NO_SUCH_PROXY))
    return parse_stat(found) if found.strip() else ()


def parse_held(text: str) -> tuple[tuple[str, int], ...]:
    """`trunkline held`: how many clients are parked in front of each proxy, sorted by its name."""
    held = re.findall(r"^(\S+) ([0-9]{1,9})$", text, re.MULTILINE)
    return tuple(sorted((proxy, int(count)) for proxy, count in held))


def parse_workers(text: str) -> tuple[Worker, ...]:
    """`show proc` of the master socket."""
    if "<PID>" not in text:
        raise _unusable("show proc")
    current, _, old = text.partition("# old workers")
    return tuple(
        Worker(pid=int(pid), is_old=is_old)
        for part, is_old in ((current, False), (old, True))
        for pid in re.findall(r"^([0-9]{1,9})\s+worker\b", part, re.MULTILINE)
    )


def parse_session_ids(text: str, at: tuple[str, str] | None = None) -> tuple[str, ...]:
    """`show sess`: the sessions that have a client and a server; `at`: those of this (proxy, server) alone."""
    found = re.findall(r"^(0x[0-9a-f]+): proto=(?!\?).* be=(\S+) srv=(?!<none>)(\S+) ", text, re.MULTILINE)
    return tuple(session for session, *place in found if at is None or tuple(place) == at)


def parse_sessions(text: str, now: datetime) -> tuple[Session, ...]:
    """Any number of `show sess <id>`; `now` is HAProxy's local time, from which their age is counted: the age that
    HAProxy 2.8 gives itself is that of the epoch."""
    blocks = re.findall(r"^(0x[0-9a-f]+: .*(?:\n .*)*)", text, re.MULTILINE)
    return tuple(_session(block, now) for block in blocks)


def _rows(text: str) -> list[Row]:
    """The columns of `USED`, "" where this HAProxy has none."""
    rows: list[Row] = []
    header: list[str] = []
    used: list[str] = []
    pick = itemgetter(0, 1)
    try:
        for line in csv.reader(StringIO(text.lstrip("# \r\n"))):
            if line and (not header or line[0].startswith("# ")):
                header = [line[0].removeprefix("# "), *line[1:]]
                used = [column for column in USED if column in header]
                if used[: len(NEEDED)] != list(NEEDED):
                    raise _unusable("show stat")
                pick = itemgetter(*map(header.index, used))
            elif line:
                if len(line) != len(header):
                    raise _unusable("show stat")
                row = dict(zip(used, pick(line), strict=True))
                rows.append(row if len(row) == len(USED) else {**NO_ROW, **row})
    except csv.Error:
        raise _unusable("show stat") from None
    if not header:
        raise _unusable("show stat")
    return rows


def _proxy(name: str, rows: Iterable[Row]) -> ProxyState:
    of_type = {kind: [row for row in rows if row["type"] == kind] for kind in (FRONTEND, BACKEND, SERVER)}
    frontend = next(iter(of_type[FRONTEND]), NO_ROW)
    backend = next(iter(of_type[BACKEND]), NO_ROW)
    return ProxyState(
        name=name,
        frontend_status=frontend["status"],
        backend_status=backend["status"],
        frontend_sessions=_number(frontend, "scur"),
        sessions=_number(backend, "scur"),
        queued=_number(backend, "qcur"),
        servers=tuple(sorted((_server(row) for row in of_type[SERVER]), key=lambda server: server.name)),
        ids=tuple(sorted({_number(row, "iid") for row in (frontend, backend) if row["iid"]})),
    )


def _server(row: Row) -> ServerState:
    sentences = (row["check_desc"], row["last_chk"])
    return ServerState(
        proxy=row["pxname"],
        name=row["svname"],
        address=row["addr"],
        health=_health(row["status"]),
        sessions=_number(row, "scur"),
        queued=_number(row, "qcur"),
        check_status=row["check_status"].removeprefix("* "),
        check_code=_optional(row, "check_code"),
        check_description=": ".join(sentence for sentence in sentences if sentence),
        check_duration_ms=_optional(row, "check_duration"),
        last_change_s=_number(row, "lastchg"),
        is_backup=_number(row, "bck") > 0,
        sessions_limit=_optional(row, "slim"),
        total=_number(row, "stot"),
        failed_connects=sum(_number(row, column) for column in FAILED_CONNECTS),
    )


def _health(status: str) -> Health:
    """The word, without a count of checks ("DOWN 1/2") or a reason ("MAINT (via a/b)")."""
    word = status if status == Health.NO_CHECK else status.split(" ")[0]
    return Health(word) if word in Health.__members__.values() else Health.UNKNOWN


def _number(row: Row, column: str) -> int:
    return _optional(row, column) or 0


def _optional(row: Row, column: str) -> int | None:
    text = row[column]
    if not text:
        return None
    if len(text) > MOST_DIGITS or not (text.isascii() and text.removeprefix("-").isdecimal()):
        raise ValueError(text)
    return int(text)


def _session(block: str, now: datetime) -> Session:
    accepted = _accepted(block)
    return Session(
        session_id=block.split(":", 1)[0],
        frontend=_name(block, "frontend"),
        backend=_name(block, "backend"),
        server=_name(block, "server"),
        client=_address(block, r"^0x.* source=(\S+)"),
        towards_server=_address(block, r"^  backend=\S+ \(.*?\) addr=(\S+)"),
        age_s=max(0, int((now - accepted).total_seconds())) if accepted else 0,
        bytes_sent=_total(block, "req"),
        bytes_received=_total(block, "res"),
    )


def _name(block: str, key: str) -> str:
    found = re.search(rf"^  {key}=(\S+) ", block, re.MULTILINE)
    return found[1] if found and found[1] != "<NONE>" else ""


def _total(block: str, channel: str) -> int:
    found = re.search(rf"^  {channel}=.* total=([0-9]{{1,19}})\)", block, re.MULTILINE)
    return int(found[1]) if found else 0


def _address(block: str, pattern: str) -> str:
    """address:port; HAProxy writes IPv6 without brackets."""
    found = re.search(pattern, block, re.MULTILINE)
    if not found or ":" not in found[1]:
        return ""
    host, _, port = found[1].rpartition(":")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _accepted(block: str) -> datetime | None:
    found = re.search(r"\[(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}):(\d{2}):(\d{2})\.\d+\]", block)
    if not found or found[2] not in MONTHS:
        return None
    day, month, year, hour, minute, second = found.groups()
    try:
        return datetime(int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    except ValueError:
        return None


def _unusable(command: str) -> RuntimeSocketError:
    return RuntimeSocketError(
        f"the answer to `{command}` cannot be understood", hint="is this the admin socket of an HAProxy, 2.6 or newer?"
    )
