"""Answers of our Lua to commands of the lease: read as they are meant, or refused in one sentence."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import RuntimeSocketError
from trunkline.model.facts import Lease, Sticky, Stuck
from trunkline.wire.lease import parse_lease, require_done

FULL = """\
closed postgres_replicas
held postgres_primary 3 1204
held postgres_replicas 1 7
released postgres_primary 12 2406
stuck postgres_primary pg1 checks
stuck postgres_primary pg1 drain
stuck postgres_replicas pg:2 maint
pid 4711
stopping 0
"""
names = st.from_regex(r"[A-Za-z0-9_.:-]{1,12}", fullmatch=True)
numbers = st.integers(0, 10**12 - 1)


def lines(lease: Lease) -> list[str]:
    waited_ms = dict(lease.waited_ms)
    return [
        f"pid {lease.pid}",
        f"stopping {int(lease.is_stopping)}",
        *(f"stuck {it.proxy} {it.server} {it.what}" for it in lease.stuck),
        *(f"held {proxy} {count} {waited_ms[proxy]}" for proxy, count in lease.held),
        *(f"released {proxy} {count} {waited_ms}" for proxy, count, waited_ms in lease.released),
        *(f"closed {proxy}" for proxy in lease.closed),
    ]


@st.composite
def leases(draw: st.DrawFn) -> Lease:
    stuck = draw(st.sets(st.tuples(names, names, st.sampled_from(Sticky)), max_size=4))
    held = sorted(draw(st.dictionaries(names, st.tuples(numbers, numbers), max_size=3)).items())
    released = sorted(draw(st.dictionaries(names, st.tuples(numbers, numbers), max_size=3)).items())
    return Lease(
        pid=draw(numbers),
        is_stopping=draw(st.booleans()),
        stuck=tuple(Stuck(proxy=proxy, server=server, what=what) for proxy, server, what in sorted(stuck)),
        held=tuple((proxy, count) for proxy, (count, _) in held),
        waited_ms=tuple((proxy, waited) for proxy, (_, waited) in held),
        released=tuple((proxy, count, waited) for proxy, (count, waited) in released),
        closed=tuple(sorted(draw(st.sets(names, max_size=3)))),
    )


def read(text: str) -> Lease | None:
    try:
        return parse_lease(text)
    except RuntimeSocketError as refusal:
        error = refusal
    assert error.message
    assert "\n" not in error.message
    return None


def test_everything_that_can_be_said() -> None:
    assert parse_lease(FULL) == Lease(
        pid=4711,
        stuck=(
            Stuck(proxy="postgres_primary", server="pg1", what=Sticky.CHECKS),
            Stuck(proxy="postgres_primary", server="pg1", what=Sticky.DRAIN),
            Stuck(proxy="postgres_replicas", server="pg:2", what=Sticky.MAINT),
        ),
        held=(("postgres_primary", 3), ("postgres_replicas", 1)),
        waited_ms=(("postgres_primary", 1204), ("postgres_replicas", 7)),
        released=(("postgres_primary", 12, 2406),),
        closed=("postgres_replicas",),
    )


@given(leases(), st.randoms())
def test_what_is_written_is_read_in_any_order(lease: Lease, random: Random) -> None:
    told = lines(lease)
    random.shuffle(told)
    assert parse_lease("\n".join(told)) == lease


@given(st.integers(0, len(FULL) - 2))
def test_an_answer_that_is_cut_short_is_none(length: int) -> None:
    assert read(FULL[:length]) is None


@given(st.text() | st.lists(st.sampled_from(FULL.splitlines()) | st.text(max_size=12)).map("\n".join))
def test_anything_may_answer(text: str) -> None:
    lease = read(text)
    if lease is not None:
        assert read("\n".join(lines(lease))) == lease


@pytest.mark.parametrize(
    "line",
    [
        "",
        "pid 4711",
        "stuck postgres_primary pg1 everything",
        "stuck postgres_primary pg1",
        "held postgres_primary 3",
        "held postgres_primary three 7",
        "held postgres_primary 3 -7",
        "held postgres_primary 3 ७",
        "held postgres_primary 3 " + 13 * "9",
        "stopping 2",
        "closed",
        "hello",
        "refusal: there is no lease",
    ],
)
def test_a_line_that_makes_no_sense(line: str) -> None:
    with pytest.raises(RuntimeSocketError, match="cannot be understood") as error:
        parse_lease(f"{line}\npid 4711" if line.startswith(("pid", "stopping")) else f"{line}\nstopping 0")
    assert error.value.hint


@pytest.mark.parametrize("read", [parse_lease, require_done])
def test_a_refusal_is_in_its_own_words(read: Callable[[str], object]) -> None:
    for text, words in {"refused: there is no lease\n\n": "there is no lease", "refused:": "without a word"}.items():
        with pytest.raises(RuntimeSocketError, match=f"^HAProxy refused: {words}$"):
            read(text)


def test_done_is_done() -> None:
    require_done("done\n\n")


@pytest.mark.parametrize("text", ["", "\n", "doned", "done done", "Lua cli 'stick': runtime error"])
def test_all_else_is_not_done(text: str) -> None:
    with pytest.raises(RuntimeSocketError, match="cannot be understood"):
        require_done(text)
