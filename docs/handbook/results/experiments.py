"""The records of sweeps, kept small: each point's table row and its curves.

    uv run python docs/handbook/results/experiments.py runs/sweeps/NAME ...

writes experiments.json beside this file. The sweep NAME is that of experiments/NAME.toml; records
of other sweeps stay.
"""

import argparse
import json
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shared import machine
from train.sweep.table import Outcome, read_outcomes
from trainkit.report import RunRecord, read_run

RESULT = Path(__file__).with_suffix(".json")
EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def curve(run: RunRecord, metric: str) -> dict[str, list[float]]:
    """Values of a metric, with the tokens, steps and seconds that they came at."""
    lines = run.series(metric)
    return {
        "tokens": [line["tokens"] for line in lines],
        "step": [line["step"] for line in lines],
        "seconds": [round(line["wall_seconds"], 1) for line in lines],
        metric: [round(line[metric], 4) for line in lines],
    }


def point(outcome: Outcome, directory: Path) -> dict[str, Any]:
    """What the page needs of a run."""
    run = read_run(directory / outcome.point)
    row = {
        "state": outcome.state,
        "steps": outcome.steps,
        "valid_loss": outcome.valid_loss,
        "valid_bits_per_byte": outcome.valid_bits_per_byte,
        "seconds": outcome.seconds,
        "command": outcome.command,
    }
    return {**row, "valid": curve(run, "valid_loss"), "train": curve(run, "loss")}


def record(directory: Path) -> dict[str, Any]:
    """A sweep's.

    Raises:
        FileNotFoundError: the sweep has not been here, or its file is not in experiments/.
    """
    file = EXPERIMENTS / f"{directory.name}.toml"
    outcomes = read_outcomes(directory)
    if not outcomes or not file.is_file():
        raise FileNotFoundError(f"needed: {directory}/sweep.json and {file}")
    first = read_run(directory / next(iter(outcomes))).config
    return {
        "command": f"uv run python -m train.sweep docs/handbook/experiments/{file.name}"
        f" --out runs/sweeps/{directory.name}",
        "date": date.today().isoformat(),
        "machine": f"{machine()}; other work ran beside it",
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "threads": first["made_with"]["threads"],
        "source_entropy": first["source_entropy"],
        "points": {name: point(outcome, directory) for name, outcome in outcomes.items()},
    }


def main() -> None:
    """Gathers, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweeps", nargs="+", type=Path, metavar="DIR")
    old = json.loads(RESULT.read_text("utf-8")) if RESULT.is_file() else {}
    new = {each.name: record(each) for each in parser.parse_args().sweeps}
    RESULT.write_text(json.dumps({**old, **new}) + "\n", "utf-8")


if __name__ == "__main__":
    main()
