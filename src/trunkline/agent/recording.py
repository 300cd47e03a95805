"""What becomes of a cycle when it is over: receipts of role changes, kept on disk and told in the log."""

from collections.abc import Callable
from pathlib import Path

import structlog

from trunkline.agent.history import History, history_file
from trunkline.errors import HAProxyError
from trunkline.model.receipt import Glimpse, Receipt
from trunkline.plan.receipts import RecorderState, advance, resume
from trunkline.plan.timeline import sentence

log = structlog.get_logger()


class Recording:
    """`directory`: of the run, see `history_file`. `told` gets each receipt once it is there."""

    def __init__(self, directory: Path, told: Callable[[Receipt], None] | None = None) -> None:
        self._history = History(history_file(directory))
        self._told = told
        self._states: dict[tuple[str, str], RecorderState] = {}
        self._kept = self._read()

    def witness(self, scope: str, service: str, seen: Glimpse) -> None:
        """Take note of one cycle."""
        state = self._states.get((scope, service)) or resume(self._kept, scope, service)
        self._states[scope, service], receipt = advance(state, seen)
        if receipt is not None:
            self._keep(receipt)

    def _keep(self, receipt: Receipt) -> None:
        log.info("the primary has changed", service=receipt.service, receipt=sentence(receipt))
        if self._told is not None:
            self._told(receipt)
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
