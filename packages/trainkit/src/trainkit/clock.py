"""The time a run has taken."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple


class Lap(NamedTuple):
    """Some updates and the time they took."""

    steps: int
    """How many."""
    seconds: float
    """How long, above 0."""


class RunClock:
    """Counts the seconds of a run over all its resumptions, and the speed of its updates.

    Args:
        wall_seconds: spent before this process.
        step: updates done before this process.
    """

    def __init__(self, wall_seconds: float = 0.0, step: int = 0) -> None:
        self._start = time.perf_counter() - wall_seconds
        self._lap_start = time.perf_counter()
        self._lap_step = step

    @property
    def wall_seconds(self) -> float:
        """Seconds since the run began, without those in which it was not running."""
        return time.perf_counter() - self._start

    def lap(self, step: int) -> Lap:
        """The updates from the last call to this one, and their time, pauses left out."""
        now = time.perf_counter()
        lap = Lap(step - self._lap_step, max(now - self._lap_start, 1e-9))
        self._lap_start, self._lap_step = now, step
        return lap

    @contextmanager
    def pause(self) -> Generator[None]:
        """Leave the block out of the updates' time: evaluation, saving."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self._lap_start += time.perf_counter() - before
