"""A receipt in words: one sentence for a log line, and its timeline for a person who wants to know. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from trunkline.model.receipt import Receipt, Sight
from trunkline.plan.reasons import duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """`offset_s`: seconds after the moment from which nobody was served, or the change's beginning without one."""

    offset_s: float
    member: str
    what: str
    is_deed: bool = False


def sentence(receipt: Receipt) -> str:
    """What it comes to."""
    parts = [f"{_who(receipt)}, {'planned' if receipt.is_planned else 'not planned'}{_timelines(receipt)}"]
    gap = f"nobody was served for {_milliseconds(receipt.gap_s)}"
    parts.append(gap if receipt.gap_s else "no moment without a primary was seen")
    if receipt.held:
        waited = "client waited" if receipt.held == 1 else "clients waited, the longest"
        parts.append(f"{receipt.held} {waited} for {_milliseconds(receipt.longest_wait_s)}")
    count = receipt.sessions_ended
    parts.append(f"{count or 'no'} session{'' if count == 1 else 's'} of the old primary ended")
    if receipt.blind_s:
        parts.append(f"the agent did not look for {duration(round(receipt.blind_s))} of it")
    return "; ".join(parts)


def moments(receipt: Receipt) -> Iterator[Moment]:
    """Everything that was seen and done, in its order."""
    origin_s = zero_s(receipt)
    seen = [Moment(offset_s=it.at_s - origin_s, member=it.member, what=it.what.value) for it in receipt.sightings]
    done = [
        Moment(
            offset_s=it.at_s - origin_s,
            member="",
            what=f"{it.command}: {'refused, ' + it.refusal if it.refusal else it.reason}",
            is_deed=True,
        )
        for it in receipt.deeds
    ]
    yield from sorted([*seen, *done], key=lambda moment: moment.offset_s)


def zero_s(receipt: Receipt) -> float:
    """The moment that the others are counted from, in seconds since the epoch."""
    gap = receipt.moment(Sight.GAP_BEGAN)
    return receipt.began_at_s if gap is None else gap


def _who(receipt: Receipt) -> str:
    if receipt.old is None:
        return f"{receipt.new} came after nobody"
    if receipt.old == receipt.new:
        return f"{receipt.new} came back"
    return f"{receipt.old} -> {receipt.new}"


def _timelines(receipt: Receipt) -> str:
    before, after = receipt.timeline_before, receipt.timeline_after
    if before is None or after is None:
        return ""
    return f", timeline {before} -> {after}" if before != after else f", timeline {after}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
