"""Ctrl-C and SIGTERM at a moment that suits."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_Handler = Callable[[int, FrameType | None], object]


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what a scheduler sends before it kills."""


@contextmanager
def terminable() -> Generator[None]:
    """Raise `Terminated` where SIGTERM comes inside the block, as Ctrl-C raises KeyboardInterrupt.

    Does nothing outside the main thread, or where SIGTERM already means something.
    """
    if not _is_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def deferred_interrupt() -> Generator[list[int]]:
    """Raise the exception of a signal that comes inside the block at its end; of a second, at once.

    The signals are Ctrl-C's and, inside of `terminable`, SIGTERM. Does nothing outside the main
    thread, and leaves alone a signal that someone else handles.

    Yields:
        The number of the signal that is kept. At the end of the block the list is empty; where it
        is not, what has left the block came of a second signal.
    """
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {
        number: cast(_Handler, handler) for number, handler in handlers.items() if _raises(handler)
    }
    kept: list[int] = []
    if not _is_main_thread() or not before:
        yield kept
        return

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def keep(number: int, frame: FrameType | None) -> None:
        kept.append(number)
        restore()

    for number in before:
        signal.signal(number, keep)
    try:
        yield kept
    finally:
        restore()
    if kept:
        number = signal.Signals(kept.pop())
        before[number](number, None)


@contextmanager
def remembered_signals() -> Generator[list[int]]:
    """Remember the numbers of the signals that come inside the block, and raise nothing for them.

    The signals are Ctrl-C's and SIGTERM. Does nothing outside the main thread, and leaves alone a
    signal that someone else handles.

    Yields:
        Their numbers, the first first; the list grows.
    """
    numbers: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [
        number
        for number, handler in before.items()
        if handler in (signal.SIG_DFL, signal.default_int_handler)
    ]
    if not _is_main_thread():
        ours = []

    def remember(number: int, frame: FrameType | None) -> None:
        numbers.append(number)

    for number in ours:
        signal.signal(number, remember)
    try:
        yield numbers
    finally:
        for number in ours:
            signal.signal(number, before[number])


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _raises(handler: Callable[..., Any] | int | None) -> bool:
    return handler in (signal.default_int_handler, _terminate)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
