"""The receipts that an agent has left, beside what the test itself has measured."""

import time

from tests.lab.role_change import RoleChange, until
from trunkline.agent.history import history_file, read_history
from trunkline.lab.balancer import Balancer
from trunkline.model.receipt import Receipt, Sight

RECEIPT_TIMEOUT_S = 10.0
NOISE_S = 0.25
"""Two cores run everything, the clients and the test too: a bound against nonsense, not a measurement."""


def receipts(balancer: Balancer) -> tuple[Receipt, ...]:
    """All that are kept, the newest last."""
    return read_history(history_file(balancer.directory))


async def receipt_after(balancer: Balancer, before: int) -> Receipt:
    """The first one that came after so many, but for those of role changes that nobody has looked at: an agent that has
    just begun still has them to tell."""

    def seen() -> list[Receipt]:
        return [it for it in receipts(balancer)[before:] if it.blind_s == 0]

    await until(lambda: bool(seen()), timeout_s=RECEIPT_TIMEOUT_S)
    return seen()[0]


def assert_true(receipt: Receipt, change: RoleChange, balancer: Balancer) -> None:
    """It says what has happened."""
    epoch = time.time() - time.monotonic()
    names = {member.place.host: name for name, member in balancer.lab.members.items()}
    assert (receipt.old, receipt.new) == (names[change.old], names[change.new])
    assert receipt.is_planned == (change.fault.name == "switchover")
    assert receipt.blind_s == 0.0
    for what, measured in ((Sight.GAP_BEGAN, change.noticed), (Sight.PROMOTED, change.writable)):
        seen = receipt.moment(what)
        assert seen is not None, f"{what} is missing"
        assert abs(seen - epoch - measured) < NOISE_S, f"{what} is off by {seen - epoch - measured:.3f} s"
    served, first = receipt.moment(Sight.SERVED), change.first_served
    assert served is not None
    assert first is not None
    assert served - epoch < first.ended + NOISE_S
    assert receipt.moment(Sight.HEALTHY) is not None
    assert receipt.moment(Sight.LAST_GOOD) is not None
    assert receipt.held > 0
    assert receipt.longest_wait_s <= change.load.longest_wait_s + NOISE_S


def told(receipt: Receipt, change: RoleChange) -> str:
    """How far its moments are from the measured ones."""
    epoch = time.time() - time.monotonic()
    pairs = ((Sight.GAP_BEGAN, change.noticed), (Sight.PORT_DEAD, change.closed), (Sight.PROMOTED, change.writable))
    words = []
    for what, measured in pairs:
        seen = receipt.moment(what)
        words.append(f"{what} {'not seen' if seen is None else f'{(seen - epoch - measured) * 1000:+.0f} ms'}")
    return "receipt " + ", ".join(words)
