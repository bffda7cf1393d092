"""What a logger is."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

Metrics = Mapping[str, float]


@runtime_checkable
class Logger(Protocol):
    """Takes the metrics of a step; keys and units are in `Trainer`'s docstring."""

    def log(self, step: int, metrics: Metrics) -> None:
        """Take note of `metrics` after `step` updates."""
        ...

    def close(self) -> None:
        """Finish; no metrics follow."""
        ...
