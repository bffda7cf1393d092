"""The Stop button: ends the texts of one visitor, wherever they are."""

from collections.abc import Generator
from contextlib import contextmanager
from threading import Event, Lock


class Stops:
    """Which texts are being written, by the session that asked for them.

    gradio's own `cancels` is not used: a click soon after Write was answered with an error, and
    the text went on.
    """

    def __init__(self) -> None:
        self._writing: dict[str, list[Event]] = {}
        self._lock = Lock()

    @contextmanager
    def writing(self, session: str) -> Generator[Event]:
        """While a text is written; the event is set once it should end."""
        stop = Event()
        with self._lock:
            self._writing.setdefault(session, []).append(stop)
        try:
            yield stop
        finally:
            with self._lock:
                self._writing[session].remove(stop)
                if not self._writing[session]:
                    del self._writing[session]

    def stop(self, session: str) -> None:
        """Ends the texts of the session that are being written; none of others, none later."""
        with self._lock:
            for stop in self._writing.get(session, []):
                stop.set()
