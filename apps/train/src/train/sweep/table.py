"""What came of each point of a sweep: for the eye, for a spreadsheet, and for programs."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from rich.table import Table
from trainkit import replace_file
from trainkit.report import read_run

State = Literal["waiting", "unfinished", "finished", "diverged", "failed"]


@dataclass(frozen=True)
class Outcome:
    """One row of a sweep's table; None where nothing is known."""

    point: str
    """Name of the run's directory under the sweep's."""
    state: State
    """waiting to begin, unfinished, finished, diverged (loss or gradient became no number, or
    spiked, and the run stopped for it), or failed of something else."""
    steps: int | None = None
    """Updates done; of a run that diverged, the one that it diverged at."""
    valid_loss: float | None = None
    """Of the last weights on the whole of the validation text, nats a token; None, too, where it
    is not finite."""
    valid_bits_per_byte: float | None = None
    """The same in bits a byte."""
    best_valid_loss: float | None = None
    """Least of the evaluations on the way, which may have seen less of that text."""
    seconds: float | None = None
    """Of training and evaluation on the way; start-up and waiting of a stopped run not counted."""
    command: str = ""
    """What runs the point alone."""
    problem: str = ""
    """Why it failed, or what was no number."""

    @property
    def is_done(self) -> bool:
        """Whether a sweep that is started again has nothing left to do for it."""
        return self.state in ("finished", "diverged")


def read_outcome(directory: Path, command: str) -> Outcome:
    """The outcome of the run in `directory`, as far as its own files tell: not that it diverged.

    Raises:
        ValueError: a file is damaged.
    """
    if not (directory / "metrics.jsonl").is_file():
        begun = (directory / "config.json").is_file()
        return Outcome(directory.name, "unfinished" if begun else "waiting", command=command)
    record = read_run(directory)
    steps = record.last("step")
    result_path = directory / "result.json"
    finished = result_path.is_file()
    result = json.loads(result_path.read_text("utf-8")) if finished else {}
    return Outcome(
        point=directory.name,
        state="finished" if finished else "unfinished",
        steps=None if steps is None else int(steps),
        valid_loss=result.get("valid_loss"),
        valid_bits_per_byte=result.get("valid_bits_per_byte"),
        best_valid_loss=record.best("valid_loss"),
        seconds=record.last("wall_seconds"),
        command=command,
    )


def write_outcomes(outcomes: Sequence[Outcome], directory: Path) -> None:
    """Writes `sweep.json` and `sweep.csv` into the sweep's directory."""
    rows = [asdict(outcome) for outcome in outcomes]
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Outcome)])
    writer.writeheader()
    writer.writerows(rows)
    record = {"format": "groundup-sweep", "version": 1, "points": rows}
    # The table that people open first: sweep.json is what a sweep goes on from.
    for name, content in (
        ("sweep.csv", text.getvalue()),
        ("sweep.json", json.dumps(record, indent=1) + "\n"),
    ):
        with replace_file(directory / name) as file:
            file.write(content.encode())


def read_outcomes(directory: Path) -> dict[str, Outcome]:
    """The rows of `sweep.json` by point; none where the sweep has not been here.

    Raises:
        ValueError: the file is damaged.
    """
    path = directory / "sweep.json"
    if not path.is_file():
        return {}
    try:
        rows = [Outcome(**row) for row in json.loads(path.read_text("utf-8"))["points"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged: {error!r}; remove it to judge each run anew"
        ) from error
    return {row.point: row for row in rows}


def outcome_table(outcomes: Sequence[Outcome]) -> Table:
    """The table for the console; the least validation loss is bold."""
    table = Table("point", box=None, header_style="dim")
    for heading in ("valid loss", "bits/byte", "best", "steps", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("")
    losses = [row.valid_loss for row in outcomes if row.valid_loss is not None]
    for row in outcomes:
        table.add_row(
            row.point,
            _number(row.valid_loss, ".4f"),
            _number(row.valid_bits_per_byte, ".4f"),
            _number(row.best_valid_loss, ".4f"),
            _number(row.steps, ","),
            _number(row.seconds, ",.0f"),
            _remark(row),
            style="bold" if losses and row.valid_loss == min(losses) else None,
        )
    return table


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _remark(row: Outcome) -> str:
    if row.state == "diverged":
        return f"diverged at step {row.steps:,}"
    if row.state == "finished":
        return ""
    return f"{row.state}: {row.problem}" if row.problem else row.state
