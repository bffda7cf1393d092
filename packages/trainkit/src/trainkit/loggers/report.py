"""The report of a run, kept up to date while it goes on."""

from os import PathLike
from pathlib import Path

from trainkit.loggers.logger import Metrics
from trainkit.report import write_report

_RELOAD_SECONDS = 30


class ReportLogger:
    """Writes `report.html` into a run's directory anew after each evaluation, and at the end.

    While the run goes on the page reloads itself now and then, so that an open browser follows.

    Args:
        run_dir: the run's, where `metrics.jsonl` grows.
    """

    def __init__(self, run_dir: str | PathLike[str]) -> None:
        self.path = Path(run_dir) / "report.html"
        self._has_logged = False

    def log(self, step: int, metrics: Metrics) -> None:
        """Write the report where `metrics` are those of an evaluation."""
        self._has_logged = True
        if "valid_loss" in metrics:
            write_report([self.path.parent], self.path, reload_seconds=_RELOAD_SECONDS)

    def close(self) -> None:
        """Write the report a last time."""
        if self._has_logged:
            write_report([self.path.parent], self.path)
