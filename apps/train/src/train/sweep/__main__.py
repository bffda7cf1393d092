"""The command `python -m train.sweep [FILE] [--vary FIELD VALUE...] --out DIR`."""

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from trainkit import Terminated

from train.sweep.fields import field_name
from train.sweep.plan import Plan, read_plan, read_value
from train.sweep.run import sweep

_DESCRIPTION = """\
Runs `train` at each point of a grid or a list, one after the other, and compares what came of them.
A sweep that was stopped goes on where it was when it is started again with the same words: finished
points are left as they are, an unfinished one goes on from its latest checkpoint."""

_EPILOG = """\
fields are named as train's flags are: max-lr, model.d-model (see uv run train --help-all).

a sweep file:
  preset = "stories"
  seeds = [0, 1]              # each point at each of them
  [fixed]                     # the same in all points
  max_steps = 400
  [vary]                      # a grid: every combination
  max_lr = [1e-3, 3e-3, 1e-2]
  [[points]]                  # or a list, each with what it sets
  name = "no positions"
  model.positions = "none"

writes into DIR:
  NAME/          each point's run: `train --resume --out DIR/NAME` goes on with one alone
  sweep.json     and sweep.csv: loss, steps, seconds and state of each, and the command for it alone
  sweep.png      validation loss against steps and seconds
  report.html    the runs compared (python -m trainkit.report)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Sweeps; exits with 1 where the input is bad or a point failed."""
    chosen = _parser().parse_args(arguments)
    console = Console(highlight=False)
    try:
        rows = sweep(make_plan(arguments), chosen.out, console)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as stop:
        console.print("stopped; the same command goes on")
        sys.exit(128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))
    console.print(f"{chosen.out}/sweep.csv, sweep.png, report.html")
    if any(not row.is_done for row in rows):
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.sweep",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("file", nargs="?", type=Path, metavar="FILE", help="a sweep file (TOML), as below")
    add("--out", type=Path, required=True, metavar="DIR", help="where the runs and results go")
    add("--preset", help="of each run, over the file's; stories if not given")
    add(
        "--vary",
        nargs="+",
        action="append",
        default=[],
        metavar="FIELD VALUE",
        help="a field and the values that it takes; several make a grid",
    )
    add(
        "--set",
        nargs="+",
        action="append",
        default=[],
        metavar="FIELD VALUE",
        help="a field that is the same in all points, over the file's",
    )
    add("--seeds", nargs="+", type=int, metavar="SEED", help="each point at each of them")
    return parser


def make_plan(arguments: Sequence[str] | None = None) -> Plan:
    """The file's plan, under what was typed."""
    chosen = _parser().parse_args(arguments)
    plan = Plan() if chosen.file is None else read_plan(chosen.file)
    vary = {**plan.vary, **dict(map(_typed, chosen.vary))}
    fixed = dict(map(_typed_once, chosen.set))
    if not vary and not plan.points and not chosen.seeds:
        raise ValueError("a sweep needs points: a FILE with vary or points, --vary, or --seeds")
    return replace(
        plan,
        preset=chosen.preset or plan.preset,
        vary=vary,
        fixed={**plan.fixed, **fixed},
        seeds=chosen.seeds or plan.seeds,
    )


def _typed(words: Sequence[str]) -> tuple[str, list[Any]]:
    name, *values = words
    if not values:
        raise ValueError(f"{name} needs a value, as in {name} 1e-3")
    return field_name(name), [read_value(value) for value in values]


def _typed_once(words: Sequence[str]) -> tuple[str, Any]:
    name, values = _typed(words)
    return name, values[0] if len(values) == 1 else values


if __name__ == "__main__":
    main()
