"""Whether the lab's ports are free, asked before anything is started."""

import socket
from collections.abc import Iterable

from trunkline.errors import LabError
from trunkline.lab.layout import MAX_PORT_OFFSET, Layout, MemberPlace, plan_layout

STEP = 1000
# How many taken ports are named before it gets tiresome.
NAMED = 4


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: what only waits in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def taken(ports: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those where somebody listens already."""
    return [(host, port) for host, port in ports if not is_free(host, port)]


def require_free(layout: Layout) -> None:
    """Refuse to start where a port is taken, naming it and a way out."""
    occupied = taken(layout.all_ports)
    if not occupied:
        return
    names = ", ".join(f"{host}:{port}" for host, port in occupied[:NAMED])
    names += f" and {len(occupied) - NAMED} more" if len(occupied) > NAMED else ""
    raise LabError(
        f"port {names} is taken" if len(occupied) == 1 else f"these ports are taken: {names}",
        hint=f"stop who listens there (see: ss -ltnp), or move all of the lab's: --port-offset {free_offset(layout)}",
    )


def require_free_for(place: MemberPlace) -> None:
    """Refuse one more member where somebody listens already."""
    occupied = taken(((place.host, place.port), (place.host, place.api_port)))
    if occupied:
        names = ", ".join(f"{host}:{port}" for host, port in occupied)
        raise LabError(f"{place.name} cannot listen on {names}", hint="stop who listens there (see: ss -ltnp)")


def free_offset(layout: Layout) -> int:
    """The next port offset, in steps of 1000, with which every port of the lab is free."""
    for offset in range(layout.port_offset + STEP, MAX_PORT_OFFSET, STEP):
        moved = plan_layout(layout.root, node_count=layout.node_count, port_offset=offset)
        if not taken(moved.all_ports):
            return offset
    return layout.port_offset + STEP
