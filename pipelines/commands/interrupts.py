"""Being asked to stop: Ctrl-C, SIGTERM and a closed terminal all end a command in order, by the same exception."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt_on_signals() -> None:
    """Make every stop signal raise KeyboardInterrupt in the main thread.

    Set explicitly, because a shell starts background jobs with SIGINT ignored, and children inherit that.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)


@contextmanager
def signals_counted() -> Iterator[list[int]]:
    """While something must be stopped in order, further signals only say that it is urgent: they fill the list."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number in STOP_SIGNALS:
        signal.signal(number, lambda arrived, _: received.append(arrived))
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
