"""Lines beside the metrics, of loggers that write something of their own."""

from collections.abc import Mapping
from pathlib import Path

from trainkit.loggers.jsonl import JsonlLogger


class StepLines:
    """A line of JSON at some of a run's steps, as `JsonlLogger` writes them: samples, say.

    When the run is resumed or rolled back, the lines of steps that come again are dropped, like
    those of the metrics.

    Args:
        path: the file; it is opened at the first step, for where a run stands is known only then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: JsonlLogger | None = None
        self._last_step = 0  # that may be in the file

    def log(self, step: int, content: Mapping[str, object] | None) -> None:
        """Append a line, or none; to be called at each step that a logger hears of.

        Raises:
            OSError: the disk is full; the lines before are whole.
        """
        if self._file is None:
            self._file, self._last_step = JsonlLogger(self.path), step
        if step <= self._last_step:
            self._file.rewind(step - 1)
            self._last_step = 0
        if content is not None:
            self._file.log(step, content)
            self._last_step = step

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
