"""Medians, worst cases and ratios over all rounds, and whether the benchmark has measured anything at all. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.contenders import ALONE, BASELINE, OURS
from benchmarks.rounds import Round
from trunkline.lab.faults import SWITCHOVER

# What the documented template is known for; a run that does not see it has measured nothing.
KNOWN_READ_ONLY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One field of `Measures`: what people call it, and whether it is a time in seconds or a count."""

    field: str
    title: str
    is_time: bool = False


LAG = Metric(field="lag_s", title="added by the balancer: from writable to written", is_time=True)
LONGEST_WAIT = Metric(field="longest_wait_s", title="longest wait of one client, retries included", is_time=True)
READ_ONLY = Metric(field="read_only", title="statements refused with 25006 (read-only)")
FAILED = Metric(field="failed", title="all of these failures")
GAP = Metric(field="gap_s", title="apart: Patroni's own gap, from the fault to writable", is_time=True)
METRICS = (
    LAG,
    LONGEST_WAIT,
    READ_ONLY,
    Metric(field="refused", title="connections refused"),
    Metric(field="closed", title="connections closed without a word"),
    Metric(field="stopping", title="57P03 by a PostgreSQL that starts or stops"),
    Metric(field="unanswered", title="no answer in 30 s, the client gave up"),
    Metric(field="other", title="other failures"),
    FAILED,
    Metric(field="in_flight", title="apart: taken by the old primary as it went down"),
    GAP,
    Metric(field="straight_s", title="apart: first write of as many clients at once, without a balancer", is_time=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Of one side's values: the median and the worst. Infinite: the new primary was never reached."""

    median: float
    worst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of one fault, side by side. `alone`: ours without its agent, None where that was not played."""

    haproxy: str
    fault: str
    metric: Metric
    ours: Spread
    baseline: Spread
    alone: Spread | None = None

    @property
    def ratio(self) -> float | None:
        """Our median over the baseline's; None where there is nothing to compare with."""
        if self.baseline.median == 0 or math.isinf(self.baseline.median):
            return None
        return self.ours.median / self.baseline.median


def value(played: Round, metric: Metric) -> float:
    """The metric of one round."""
    number = getattr(played.measures, metric.field)
    return math.inf if number is None else float(number)


def compare(rounds: Sequence[Round]) -> tuple[Comparison, ...]:
    """Every metric of every HAProxy and fault that was played with us and the baseline, in the order of playing."""
    scenes = dict.fromkeys((played.haproxy, played.fault) for played in rounds)
    return tuple(
        Comparison(
            haproxy=haproxy,
            fault=fault,
            metric=metric,
            ours=_spread(value(played, metric) for played in select(rounds, haproxy, fault, OURS)),
            baseline=_spread(value(played, metric) for played in select(rounds, haproxy, fault, BASELINE)),
            alone=_spread(value(played, metric) for played in alone) if alone else None,
        )
        for haproxy, fault in scenes
        if select(rounds, haproxy, fault, OURS) and select(rounds, haproxy, fault, BASELINE)
        for alone in (select(rounds, haproxy, fault, ALONE),)
        for metric in METRICS
    )


def select(rounds: Iterable[Round], haproxy: str, fault: str, side: str) -> list[Round]:
    """The rounds of one side in one scene."""
    wanted = (haproxy, fault, side)
    return [played for played in rounds if (played.haproxy, played.fault, played.side) == wanted]


def why_broken(rounds: Sequence[Round]) -> str | None:
    """Why this run proves nothing: the baseline does not show the failure that it is known for."""
    for haproxy in dict.fromkeys(played.haproxy for played in rounds):
        switched = select(rounds, haproxy, SWITCHOVER.name, BASELINE)
        most = max((played.measures.read_only for played in switched), default=None)
        if most is not None and most <= KNOWN_READ_ONLY:
            return (
                f"with HAProxy {haproxy} the template of Patroni's documentation had at most {most} statements refused "
                f"with 25006 in a switchover; it is known for more than {KNOWN_READ_ONLY}"
            )
    return None


def _spread(values: Iterable[float]) -> Spread:
    known = list(values)
    return Spread(median=median(known), worst=max(known))
