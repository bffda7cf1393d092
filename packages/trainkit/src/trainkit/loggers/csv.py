"""Metrics as a table, for spreadsheets and data frames."""

import csv
import io
import json
from os import PathLike
from pathlib import Path

from trainkit.atomic import replace_file
from trainkit.loggers.logger import Metrics


class CsvLogger:
    """Writes `metrics.csv` into a run's directory anew after each evaluation, and at the end.

    A row for each line of `metrics.jsonl`, a cell for each metric of the run, empty where the line
    has no such, or one that is not finite: training and evaluation log different ones. Which there
    are is known only from all lines, so the table is made from them anew, and a resume needs no
    care.

    Args:
        run_dir: the run's, where `metrics.jsonl` grows.
    """

    def __init__(self, run_dir: str | PathLike[str]) -> None:
        self.path = Path(run_dir) / "metrics.csv"
        self._has_logged = False

    def log(self, step: int, metrics: Metrics) -> None:
        """Write the table where `metrics` are those of an evaluation."""
        self._has_logged = True
        if "valid_loss" in metrics:
            self._write()

    def close(self) -> None:
        """Write the table a last time."""
        if self._has_logged:
            self._write()

    def _write(self) -> None:
        lines = self.path.with_name("metrics.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
        table.writeheader()
        table.writerows(rows)
        with replace_file(self.path) as file:
            file.write(text.getvalue().encode())
