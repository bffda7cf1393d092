"""A logger that may fail."""

import warnings
from collections.abc import Callable

from trainkit.loggers.logger import Logger, Metrics


class GuardedLogger:
    """A logger whose first failure costs one warning, and itself, but never the run.

    Args:
        logger: the logger that may fail.
    """

    def __init__(self, logger: Logger) -> None:
        self._logger: Logger | None = logger

    def log(self, step: int, metrics: Metrics) -> None:
        """Pass `metrics` on."""
        self._guard(lambda logger: logger.log(step, metrics))

    def close(self) -> None:
        """Close the logger."""
        self._guard(lambda logger: logger.close())

    def _guard(self, call: Callable[[Logger], None]) -> None:
        if (logger := self._logger) is None:
            return
        try:
            call(logger)
        except Exception as error:
            self._logger = None
            warnings.warn(
                f"{type(logger).__name__} failed and is out; the run goes on: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
