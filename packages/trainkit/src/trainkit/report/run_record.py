"""What a run's directory tells of it: metrics, samples and how it was configured."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunRecord:
    """A run as its files tell it; what is not there is empty."""

    name: str
    """The directory's."""
    metrics: list[dict[str, float]]
    """Lines of `metrics.jsonl`; NaN where they have null, as for all that is not finite."""
    samples: list[dict[str, Any]]
    """Lines of `samples.jsonl`: `step` and `text`."""
    config: dict[str, Any]
    """`config.json`."""

    def series(self, name: str) -> list[dict[str, float]]:
        """The lines that hold the metric `name`."""
        return [line for line in self.metrics if name in line]

    def last(self, name: str) -> float | None:
        """The newest value of the metric `name`; None where there is none."""
        series = self.series(name)
        return series[-1][name] if series else None

    def best(self, name: str) -> float | None:
        """The lowest finite value of the metric `name`; None where there is none."""
        values = (line[name] for line in self.series(name))
        return min((value for value in values if math.isfinite(value)), default=None)


def read_run(run_dir: str | PathLike[str]) -> RunRecord:
    """Reads a run's directory, also while the run goes on.

    Raises:
        FileNotFoundError: it holds no `metrics.jsonl`.
        ValueError: a file is damaged.
    """
    directory = Path(run_dir).resolve()
    if not (directory / "metrics.jsonl").is_file():
        raise FileNotFoundError(
            f"no metrics.jsonl in {run_dir}: give the directory of a run that has logged a step"
        )
    config_path = directory / "config.json"
    return RunRecord(
        name=directory.name,
        metrics=[_as_floats(line) for line in _read_lines(directory / "metrics.jsonl")],
        samples=_read_lines(directory / "samples.jsonl"),
        config=json.loads(config_path.read_text("utf-8")) if config_path.is_file() else {},
    )


def read_runs(run_dirs: Sequence[str | PathLike[str]]) -> list[RunRecord]:
    """Reads several runs; those whose directories share a name are named by their paths.

    Raises:
        FileNotFoundError: one of them holds no `metrics.jsonl`.
        ValueError: a file is damaged.
    """
    runs = [read_run(run_dir) for run_dir in run_dirs]
    names = [run.name for run in runs]
    return [
        RunRecord(str(run_dir), run.metrics, run.samples, run.config)
        if names.count(run.name) > 1
        else run
        for run_dir, run in zip(run_dirs, runs, strict=True)
    ]


def _as_floats(line: dict[str, Any]) -> dict[str, float]:
    return {name: math.nan if value is None else float(value) for name, value in line.items()}


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines, but for a last line that its writer has not ended."""
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows.append({"step": row["step"], **row})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} of {path} is damaged: {error!r}") from error
    return rows
