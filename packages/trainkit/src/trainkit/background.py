"""A call on a thread of its own, which the end of the process waits for unless told not to."""

import atexit
import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from threading import Thread

_WAIT_SECONDS = 0.5


class BackgroundCall:
    """Calls a function on a thread, from now on.

    The thread is a daemon: for all others Python waits at its end, whatever it ends by, so that
    with ThreadPoolExecutor a second Ctrl-C stopped a run and then sat through a slow save. What
    waits is chosen here instead: whoever asks for the `result`, and the end of the process until
    `abandon`.

    Args:
        function: what to call.
        name: of the thread, for debuggers.
    """

    def __init__(self, function: Callable[[], None], *, name: str) -> None:
        # Not Thread.join and is_alive: where a signal cuts a join short, Python 3.11 takes the
        # thread for ended.
        self._future: Future[None] = Future()
        _awaited.add(self)
        try:
            Thread(target=self._run, args=(function,), name=name, daemon=True).start()
        except RuntimeError:  # the system has no thread to give
            _awaited.discard(self)
            raise

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._future.done()

    def join(self) -> None:
        """Wait until it has ended. A signal ends the wait, and not the call."""
        while not self.is_done:
            # Not at one go: of a signal that comes as a wait begins Python tells only after it.
            with suppress(TimeoutError):
                self._future.exception(timeout=_WAIT_SECONDS)

    def result(self) -> None:
        """Wait until it has ended, and raise what it raised."""
        self.join()
        _awaited.discard(self)
        self._future.result()

    def abandon(self) -> None:
        """Let the process end without it, wherever it stands then."""
        _awaited.discard(self)

    def _run(self, function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            self._future.set_exception(error)  # awaited until somebody has heard of it
        else:
            self._future.set_result(None)
            _awaited.discard(self)


_awaited: set[BackgroundCall] = set()


@atexit.register
def _wait_for_all() -> None:
    """What they raise, or a signal that ends the wait, Python prints."""
    with ExitStack() as calls:
        for call in tuple(_awaited):
            calls.callback(call.result)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_awaited.clear)  # the threads stay with the parent
