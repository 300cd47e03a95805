"""Another balancer in front of the same cluster, with the same HAProxy and settings of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trunkline.lab.balancer import Balancer

SECOND_HOST = "127.0.0.2"


@contextmanager
def beside(first: Balancer, **extra: Any) -> Iterator[Balancer]:
    """It is started, and has not yet served anybody; it ends with the block."""
    second = Balancer(first.lab, first.haproxy, name="second", host=SECOND_HOST, extra=extra)
    second.start()
    try:
        yield second
    finally:
        second.stop()
