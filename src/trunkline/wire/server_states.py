"""HAProxy's `show servers state` to values: where each server's sessions and checks go.

Source: HAProxy's management guide, section 9.3, version 1 of the format. An answer that cannot be read is a
`RuntimeSocketError`, never another exception.
"""

from trunkline.errors import RuntimeSocketError
from trunkline.model.desired import Endpoint
from trunkline.model.membership import Placed

NEEDED = ("be_name", "srv_name", "srv_addr", "srv_admin_state", "srv_port", "srv_check_port", "srv_check_addr")
MAINT, DRAIN = 0x01 | 0x02 | 0x04 | 0x20, 0x08 | 0x10
"""Bits of srv_admin_state: maintenance that was forced, inherited or comes of a name that leads nowhere; drains."""

MOST_ADMIN_BITS = 0xFFFF
NOTHING = "-"


def parse_server_states(text: str) -> tuple[Placed, ...]:
    """Every server that has an address of its own: those on unix sockets have none."""
    lines = text.strip().splitlines()
    if len(lines) < 2 or lines[0].strip() != "1" or not lines[1].startswith("# "):
        raise _unusable()
    columns = lines[1].removeprefix("# ").split()
    if not all(column in columns for column in NEEDED):
        raise _unusable()
    placed: list[Placed] = []
    for line in filter(None, map(str.strip, lines[2:])):
        words = line.split()
        if len(words) < len(columns):
            raise _unusable()
        row = dict(zip(columns, words, strict=False))
        if row["srv_addr"] == NOTHING:
            continue
        check_addr, admin = row["srv_check_addr"], _number(row["srv_admin_state"], MOST_ADMIN_BITS)
        postgres = Endpoint(address=row["srv_addr"], port=_port(row["srv_port"]))
        placed.append(
            Placed(
                proxy=row["be_name"],
                name=row["srv_name"],
                postgres=postgres,
                api=Endpoint(
                    address=postgres.address if check_addr == NOTHING else check_addr,
                    port=_port(row["srv_check_port"]) or postgres.port,
                ),
                is_in_maint=bool(admin & MAINT),
                is_drained=bool(admin & DRAIN),
            )
        )
    return tuple(sorted(placed, key=lambda it: (it.proxy, it.name)))


def _port(word: str) -> int:
    return _number(word, 65535)


def _number(word: str, most: int) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) <= len(str(most)) and int(word) <= most):
        raise _unusable()
    return int(word)


def _unusable() -> RuntimeSocketError:
    return RuntimeSocketError(
        "the answer to `show servers state` cannot be understood",
        hint="is this the admin socket of an HAProxy, 2.6 or newer?",
    )
