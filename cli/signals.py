"""Signals that ask a command to end, as exceptions: what it has begun is cleaned up as after an interruption."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: What a shell adds to a signal's number for the exit status of a program that it ended.
SIGNALLED = 128
#: Exit status when the reader of a pipe has left: that of a program which the system ends for it.
PIPE_CLOSED = SIGNALLED + 13
#: `timeout`, `kill` and a system that shuts down send the first, a terminal that is closed the second.
_NAMES = ("SIGTERM", "SIGHUP")


class Terminated(BaseException):
    """A signal asked this process to end; like KeyboardInterrupt it is no `Exception`.

    Parameters
    ----------
    number
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def signals_raised() -> Iterator[None]:
    """Raise `Terminated` in a block when a signal asks the process to end; a second one ends it at once.

    A signal that the process was started to ignore, as by ``nohup``, stays ignored. Forked processes end as ever.
    Does nothing outside the main thread, where Python handles no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != process:
            os.kill(os.getpid(), number)
            return
        raise Terminated(number)

    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    handled = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in handled:
            signal.signal(number, end)
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
