"""What the agent has to tell Prometheus (docs/agent.md lists it): what the last cycle has seen, what all have done."""

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from trunkline.agent.steering import Seen, SourceAges
from trunkline.model.desired import ServiceKind
from trunkline.model.receipt import Receipt
from trunkline.plan.posture import Stance
from trunkline.plan.steering import judge_members

SERVICE = ("scope", "service")
REROUTE_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
GAP_BUCKETS = (0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
CYCLE_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)
STALE_S = 30.0
"""What no cycle has seen for so long is told no more."""


class Metrics(Collector):
    """Everything of one agent."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._last: dict[tuple[str, str], Seen] = {}
        self._problem = "nothing was done yet"
        self.source_ages: Callable[[], SourceAges] = dict  # asked at each question for the metrics
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._commands = self._counter("commands", "Commands that HAProxy has taken.")
        self._failures = self._counter("plan_failures", "Plans that ended at a command which HAProxy refused.")
        self._fenced = self._counter(
            "fenced_sessions", "Sessions that are gone from servers which must not have them, in any worker."
        )
        self._released = self._counter("released_connections", "Clients that had to wait, and wait no more.")
        self._changes = self._counter("role_changes", "Receipts, see trunkline history.")
        self._reroute = self._histogram("reroute", "From a promotion to the new primary being served.", REROUTE_BUCKETS)
        self._gap = self._histogram("gap", "How long nobody was served in a role change.", GAP_BUCKETS)
        self._cycle = Histogram(
            "trunkline_cycle_seconds",
            "One round of observing, deciding and doing.",
            buckets=CYCLE_BUCKETS,
            registry=self._registry,
        )

    def saw(self, seen: Seen) -> None:
        """One service in one cycle."""
        place = seen.situation.scope, seen.situation.state.name
        self._last[place] = seen
        self._commands.labels(*place).inc(sum(not deed.refusal for deed in seen.deeds))
        self._failures.labels(*place).inc(any(deed.refusal for deed in seen.deeds))
        self._fenced.labels(*place).inc(seen.ended)
        released = sum(count for proxy, count, _ in seen.lease.released if proxy == place[1])
        self._released.labels(*place).inc(released)
        if seen.situation.kind is ServiceKind.PRIMARY:
            for it in (self._changes, self._reroute, self._gap):
                it.labels(*place)  # at zero before the first role change: a series that begins at one has no rate

    def cycled(self, seconds: float, problem: str) -> None:
        """A whole cycle."""
        self._cycle.observe(seconds)
        self._problem = problem

    def keep(self, receipt: Receipt) -> None:
        """A role change is over."""
        place = receipt.scope, receipt.service
        self._changes.labels(*place).inc()
        self._gap.labels(*place).observe(receipt.gap_s)
        if receipt.reroute_s is not None:
            self._reroute.labels(*place).observe(receipt.reroute_s)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """What the last cycle has seen."""
        now_s = time.time()
        yield GaugeMetricFamily("trunkline_steers", "Whether HAProxy can be steered.", value=float(not self._problem))
        serves = _gauge("member_serves", "Whether HAProxy sends new sessions there.", *SERVICE, "member")
        stance = _gauge(
            "member_stance", "What the posture table says of it: 1 for one of them.", *SERVICE, "member", "stance"
        )
        sessions = _gauge("member_sessions", "Sessions of the worker that serves.", *SERVICE, "member")
        ages = _gauge(
            "source_age_seconds",
            "Since a source was last heard, or asked for its last answer.",
            "scope",
            "source",
            "member",
        )
        held = _gauge("held_connections", "Clients that wait for somebody to serve them.", *SERVICE)
        recent = {place: seen for place, seen in self._last.items() if now_s - seen.at_s < STALE_S}
        for (scope, proxy), seen in recent.items():
            for judgement in judge_members(seen.situation):
                place = (scope, proxy, judgement.name)
                server = judgement.case.server
                serves.add_metric(place, float(server.takes_sessions))
                sessions.add_metric(place, server.sessions)
                for it in Stance:
                    stance.add_metric((*place, it.value), float(judgement.stance is it))
            held.add_metric((scope, proxy), dict(seen.lease.held).get(proxy, 0))
        for labels, age_s in self.source_ages().items():
            ages.add_metric(labels, age_s)
        yield from (serves, stance, sessions, ages, held, *_old_workers(recent.values()))

    def _counter(self, name: str, about: str) -> Counter:
        return Counter(f"trunkline_{name}", about, SERVICE, registry=self._registry)

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"trunkline_{name}_seconds", about, SERVICE, buckets=buckets, registry=self._registry)


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"trunkline_{name}", about, labels=labels)


def _old_workers(seen: Iterable[Seen]) -> Iterator[Metric]:
    workers = next((it.situation.workers for it in seen), None)
    count = GaugeMetricFamily(
        "trunkline_old_workers",
        "Workers that a reload has left behind.",
        value=float(len(workers.pids) if workers else 0),
    )
    sessions = GaugeMetricFamily(
        "trunkline_old_worker_sessions", "Their sessions, at which server.", labels=("pid", "service", "server")
    )
    for pid, proxy, server, number in workers.sessions if workers else ():
        sessions.add_metric((str(pid), proxy, server), number)
    yield from (count, sessions)
