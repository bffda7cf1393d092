"""Ctrl-C at a moment that suits."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Generator[None]:
    """Raise the KeyboardInterrupt of a Ctrl-C inside the block at its end; of a second, at once.

    Does nothing outside the main thread, or where Ctrl-C already means something else.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    is_pending = False

    def remember(signum: int, frame: FrameType | None) -> None:
        nonlocal is_pending
        is_pending = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if is_pending:
        raise KeyboardInterrupt
