"""Turning SIGINT, SIGTERM and SIGHUP into one exception, so that cleaning up happens wherever they arrive.

After the first one, further ones are ignored: cleaning up is what they ask for, and it is bounded.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody wants us to end. Not an `Exception`, so that nothing on the way takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interruption:
    """Raises `Interrupted` in the main thread at the first signal, but not within `shielded()`."""

    def __init__(self) -> None:
        self._is_shielded = False
        self._pending: int | None = None

    def arrive(self, number: int, frame: FrameType | None = None) -> None:
        """The signal handler."""
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        if self._is_shielded:
            self._pending = number
        else:
            raise Interrupted(number)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """For a short step that must be whole: what it makes has to be known to whoever cleans up."""
        self._is_shielded = True
        try:
            yield
        finally:
            self._is_shielded = False
        if self._pending is not None:
            raise Interrupted(self._pending)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Within it, the first of the signals interrupts; at its end everything is as before."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    # Who starts us with a signal ignored (nohup, a shell's background job) means it.
    heeded = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, interruption.arrive) for each in heeded}
    try:
        yield interruption
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
