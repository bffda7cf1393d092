"""Metrics for TensorBoard."""

from importlib import import_module
from pathlib import Path
from typing import Any

from trainkit.loggers.logger import Metrics


class TensorboardLogger:
    """TensorBoard's event files (extra `tensorboard`): a scalar for each metric, at its step.

    A resumed run goes on in a file of its own, and TensorBoard shows no point twice: it is told to
    forget what lies at or past the first step that is logged.

    Args:
        directory: where its files go; `tensorboard --logdir` is given this one or one above.

    Raises:
        ImportError: tensorboard is not installed.
    """

    def __init__(self, directory: Path) -> None:
        try:
            import_module("tensorboard")
        except ImportError as error:
            raise ImportError(
                "TensorboardLogger needs tensorboard: install trainkit with the extra `tensorboard`"
            ) from error
        self._directory = directory
        self._writer: Any = None

    def log(self, step: int, metrics: Metrics) -> None:
        """Write each of `metrics` at `step`."""
        if self._writer is None:
            module: Any = import_module("torch.utils.tensorboard")
            self._writer = module.SummaryWriter(str(self._directory), purge_step=step)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # here, so that a full disk is met in this call, not on its thread

    def close(self) -> None:
        """Close the files."""
        if self._writer is not None:
            self._writer.close()
