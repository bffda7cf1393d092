"""All the loggers of a run, as one."""

from collections.abc import Iterable
from pathlib import Path

from trainkit.loggers.guarded import GuardedLogger
from trainkit.loggers.jsonl import JsonlLogger
from trainkit.loggers.logger import Logger, Metrics


class Journal:
    """`metrics.jsonl`, the truth about a run, and guests, each of which may fail.

    Nothing is written, and no directory made, before `open`.

    Args:
        path: of `metrics.jsonl`.
        guests: the other loggers.
    """

    def __init__(self, path: Path, guests: Iterable[Logger]) -> None:
        self._path = path
        self._guests = [GuardedLogger(logger) for logger in guests]

    def open(self, step: int) -> None:
        """Go on after `step`, without what a killed process wrote past its last checkpoint."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lines = JsonlLogger(self._path)
        self.rewind(step)

    def log(self, step: int, metrics: Metrics) -> None:
        """Pass `metrics` on to each.

        Raises:
            OSError: the disk has no room for a line of `metrics.jsonl`.
        """
        for logger in [self._lines, *self._guests]:
            logger.log(step, metrics)

    def rewind(self, step: int) -> None:
        """Take back the lines of later steps; guests keep theirs."""
        self._lines.rewind(step)

    def sync(self) -> None:
        """Wait until every line is on the disk."""
        self._lines.sync()

    def close(self) -> None:
        """Close each, the last first."""
        for logger in [*reversed(self._guests), self._lines]:
            logger.close()
