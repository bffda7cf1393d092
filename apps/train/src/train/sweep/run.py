"""The runs of a sweep, one after the other, each in a process of its own.

A process gives its memory back when it ends, even if it is killed for taking too much; compiled
code and random states of one run are nothing to the next; and what runs is the very command that
`sweep.json` tells, so that a point can be repeated without a sweep. It costs the seconds that a
process takes to start.
"""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from trainkit import Terminated, terminable
from trainkit.report import write_report

from train.directories import asked, has_begun, read_record
from train.exit_codes import DIVERGED
from train.sweep.fields import run_config
from train.sweep.plan import Plan, Point
from train.sweep.plot import draw_sweep
from train.sweep.table import (
    Outcome,
    outcome_table,
    read_outcome,
    read_outcomes,
    write_outcomes,
)


def sweep(plan: Plan, out: Path, console: Console) -> list[Outcome]:
    """Runs the points of `plan` that are not done yet, each in `out`/NAME, and returns all rows.

    A point that was stopped goes on from its latest checkpoint. A run that diverges is a result;
    one that fails of something else is told, and tried again when the sweep is started again.
    After each point, `sweep.json`, `sweep.csv`, `sweep.png` and `report.html` in `out` are of all.

    Raises:
        ValueError: a point cannot be, or its directory holds another run.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the run has written a checkpoint.
    """
    points = plan.expand()
    for point in points:
        _check_same(point, out / point.name)
    out.mkdir(parents=True, exist_ok=True)
    rows = {point.name: _outcome(point, out) for point in points}
    _write(list(rows.values()), out)
    with terminable():
        for number, point in enumerate(points, start=1):
            if rows[point.name].is_done:
                continue
            console.print(f"{number}/{len(points)}  {point.name}")
            rows[point.name] = _run(point, out)
            console.print(f"     {_sentence(rows[point.name])}")
            _write(list(rows.values()), out)
    console.print(outcome_table(list(rows.values())))
    return list(rows.values())


def _check_same(point: Point, directory: Path) -> None:
    """Refuses a directory that holds a run of other fields than the point's."""
    if not has_begun(directory):
        return
    then = read_record(directory)["asked"]
    now = json.loads(json.dumps(asked(run_config(point.preset, point.values, directory))))
    if now["minutes"] is not None:
        now["training"]["max_steps"] = then["training"]["max_steps"]  # as they were filled with
    if then != now:
        raise ValueError(
            f"{directory} holds a run that differs from the point of this name: remove it, or"
            " sweep into another --out"
        )


def _outcome(point: Point, out: Path) -> Outcome:
    """What the point's files tell, or that it diverged, which only `sweep.json` tells."""
    known = read_outcomes(out).get(point.name)
    directory = out / point.name
    if known is not None and known.state == "diverged" and directory.is_dir():
        return known
    return read_outcome(directory, _shown(point.command(directory)))


def _run(point: Point, out: Path) -> Outcome:
    directory = out / point.name
    directory.mkdir(exist_ok=True)
    words = point.command(directory)
    told = _resuming(point, directory) if has_begun(directory) else words
    code = _train(told, directory / "console.txt")
    row = read_outcome(directory, _shown(words))
    if code == 0:
        return row
    if code == DIVERGED:
        anomaly = json.loads(max((directory / "anomalies").iterdir()).read_text("utf-8"))
        return replace(row, state="diverged", steps=anomaly["step"], problem=anomaly["problem"])
    return replace(row, state="failed", problem=_last_line(directory / "console.txt", code))


def _resuming(point: Point, directory: Path) -> list[str]:
    """What goes on with the run of `point`; the updates that its minutes gave it stay."""
    values = dict(point.values)
    if "minutes" in values:
        values.pop("max-steps", None)
    return [*replace(point, values=values).command(directory), "--resume"]


def _train(words: Sequence[str], log: Path) -> int:
    """Runs `train` with `words`, its output appended to `log`; the exit code.

    Raises:
        KeyboardInterrupt: what stops the sweep; the run was told, and has ended.
    """
    command = [sys.executable, "-m", "train", *words]
    with log.open("ab") as output:
        # A session of its own: the terminal's Ctrl-C would reach the run beside ours, and of a
        # second signal a run ends at once, without its checkpoint.
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait()
        except KeyboardInterrupt as stop:
            is_sigterm = isinstance(stop, Terminated)
            process.send_signal(signal.SIGTERM if is_sigterm else signal.SIGINT)
            process.wait()
            raise
        finally:
            if process.poll() is None:  # a second Ctrl-C while waiting for the checkpoint
                process.kill()
                process.wait()


def _write(rows: Sequence[Outcome], out: Path) -> None:
    write_outcomes(rows, out)
    directories = [out / row.point for row in rows]
    draw_sweep(directories, out / "sweep.png")
    if runs := [each for each in directories if (each / "metrics.jsonl").is_file()]:
        write_report(runs, out / "report.html")


def _shown(words: Sequence[str]) -> str:
    return shlex.join(["uv", "run", "train", *words])


def _sentence(row: Outcome) -> str:
    if row.state == "finished":
        loss = "not finite" if row.valid_loss is None else f"{row.valid_loss:.4f} nats a token"
        return f"validation loss {loss} after {row.steps:,} steps"
    return f"{row.state} at step {row.steps or 0:,}: {row.problem}"


def _last_line(log: Path, code: int) -> str:
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    said = lines[-1].removeprefix("error: ") if lines else "it said nothing"
    return f"exit code {code}: {said}"
