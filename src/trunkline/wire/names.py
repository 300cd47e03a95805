"""Member names of Patroni and server names of HAProxy: the same word wherever HAProxy takes it.

Patroni takes any text; HAProxy takes `[A-Za-z0-9_.:-]` (manual, 2.1 "Configuration file format"). A name that HAProxy
would not take, or that means something else to it, becomes ":" and the name with each other byte of its UTF-8 as
":HH". No name begins with ":" otherwise, so no two members ever share a server name, and the way back needs no table.
"""

import re

RESERVED = frozenset({"hold", "FRONTEND", "BACKEND"})
"""`hold` is the backup server of every backend that we render; the others are how `show stat` calls its totals."""

MAX_NAME_BYTES = 255
"""Of a member or a scope. HAProxy ignores a whole state file for one line of more than 2 000 bytes, and a byte may take
three; measured on 2.6 and 2.8. Without its state file it takes every server for usable."""

ESCAPED = re.compile(r":([0-9A-F]{2})")


def to_haproxy(member: str) -> str:
    """What HAProxy calls this member."""
    if member not in RESERVED and re.fullmatch(r"[A-Za-z0-9_.-][A-Za-z0-9_.:-]*", member):
        return member
    # "surrogatepass": JSON can carry half of a surrogate pair, and such a name is a name, too
    return ":" + "".join(_escaped(byte) for byte in member.encode("utf-8", "surrogatepass"))


def to_patroni(name: str) -> str:
    """What Patroni calls this server; a name that `to_haproxy` cannot have made is returned as it is."""
    if not name.startswith(":"):
        return name
    raw = ESCAPED.sub(lambda found: chr(int(found[1], 16)), name[1:])
    try:
        member = raw.encode("latin-1").decode("utf-8", "surrogatepass")
    except UnicodeError:
        return name
    return member if to_haproxy(member) == name else name


def _escaped(byte: int) -> str:
    char = chr(byte)
    return char if re.fullmatch(r"[A-Za-z0-9_.-]", char) else f":{byte:02X}"
