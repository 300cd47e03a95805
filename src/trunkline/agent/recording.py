"""What becomes of a cycle when it is over: metrics, and receipts of role changes, kept on disk and told in the log."""

from pathlib import Path

import structlog

from trunkline.agent.decided import Decided
from trunkline.agent.history import History, history_file
from trunkline.agent.metrics import Metrics
from trunkline.agent.steering import Seen
from trunkline.errors import HAProxyError
from trunkline.model.desired import ServiceKind
from trunkline.model.receipt import Glimpse, Receipt
from trunkline.plan.receipts import RecorderState, advance, resume
from trunkline.plan.timeline import sentence

log = structlog.get_logger()


class Recording:
    """An `Observer`. `directory`: of the run, see `history_file`."""

    def __init__(self, directory: Path, metrics: Metrics, decided: Decided) -> None:
        self._history = History(history_file(directory))
        self._metrics = metrics
        self._decided = decided
        self._states: dict[tuple[str, str], RecorderState] = {}
        self._kept = self._read()

    def saw(self, seen: Seen) -> None:
        """Take note of one service in one cycle."""
        self._metrics.saw(seen)
        self._decided.saw(seen)
        situation = seen.situation
        if situation.kind is not ServiceKind.PRIMARY:
            return
        place = situation.scope, situation.state.name
        state = self._states.get(place) or resume(self._kept, *place)
        self._states[place], receipt = advance(state, glimpse(seen))
        if receipt is not None:
            self._keep(receipt)

    def cycled(self, seconds: float, problem: str) -> None:
        """Take note of one cycle."""
        self._metrics.cycled(seconds, problem)
        self._decided.cycled(problem)

    def _keep(self, receipt: Receipt) -> None:
        log.info("the primary has changed", service=receipt.service, receipt=sentence(receipt))
        self._metrics.keep(receipt)
        try:
            self._history.append(receipt)
        except HAProxyError as error:
            log.error("a receipt is lost", why=error.message, hint=error.hint)

    def _read(self) -> tuple[Receipt, ...]:
        try:
            return self._history.read()
        except HAProxyError as error:
            log.error("the history cannot be read", why=error.message, hint=error.hint)
            return ()


def glimpse(seen: Seen) -> Glimpse:
    """What receipts are made of."""
    situation, lease, proxy = seen.situation, seen.lease, seen.situation.state.name
    names = {facts.server: facts.name for facts in situation.members}
    released, waited_ms = next(((count, ms) for name, count, ms in lease.released if name == proxy), (0, 0))
    servers = [it for it in situation.state.servers if it.takes_sessions and it.name in names]
    return Glimpse(
        at_s=seen.at_s,
        serving=tuple(names[it.name] for it in servers),
        healthy=tuple(names[it.name] for it in servers if it.check_status.startswith("L7OK")),
        members=situation.members,
        leader_key=situation.leader_key,
        deeds=seen.deeds,
        ended=seen.ended,
        left=seen.left,
        held=dict(lease.held).get(proxy, 0),
        released=released,
        longest_wait_s=max(waited_ms, dict(lease.waited_ms).get(proxy, 0)) / 1000,
    )
