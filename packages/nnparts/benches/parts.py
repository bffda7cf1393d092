r"""Training and decoding side by side: ours and its peers, each in its own process, in one run.

    uv run --group bench python packages/nnparts/benches/parts.py
    uv run --group bench python packages/nnparts/benches/parts.py --work step --batch-size 32

The first takes some 5 minutes; records are of batches of 32, a work or a few at a time. litgpt
takes part where it is installed: in an environment apart, for it wants older packages than ours,

    uv run --isolated --no-project --python 3.11 --with litgpt --with transformers \
        --with-editable packages/nnparts --with-editable packages/optimkit \
        --with-editable packages/trainkit \
        python packages/nnparts/benches/parts.py --work step --batch-size 32

For each work all contestants must first give the same numbers from the same weights: the losses of
20 equal steps, each computed as it is timed, or the ids. Then all are prepared (warm, compiled),
and in each round each has its turn. Printed is a report in Markdown; all figures go to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from engines import ENGINES
from works import WORKS, Job, Work

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import commit, memory_gib, processor, significant, spread

SMALLER_IS_BETTER = ("ms", "peak RSS, MB", "added RSS, MB")
LEGEND = """\
Median, with the least and the most, of alternating rounds; each contestant is a process of its own,
warm before the first round. The last column: the first contestant, ours, against each other one in
this run, by medians, above 1 where ours is better."""


@dataclass
class Row:
    """A work: for each contestant the figures of each round."""

    work: str
    turns: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Contestant:
    """A process that waits for its turns."""

    def __init__(self, job: Job, threads: int, mode: str) -> None:
        command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
        self.process = subprocess.Popen(
            [*command, json.dumps(asdict(job)), str(threads), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def turn(self) -> Any:
        """Figures of one round."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """The next line that it says.

        Raises:
            RuntimeError: it ended instead.
        """
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        for line in self.process.stdout:
            if line.startswith(("{", "[", '"')):
                return json.loads(line)
        words = self.process.stderr.read().strip().splitlines() or ["no word"]
        raise RuntimeError(words[-1])


def jobs(name: str, work: Work, options: argparse.Namespace) -> dict[str, Job]:
    """A job for each contestant that is installed; `litgpt` is left out where it is not."""
    found: dict[str, Job] = {}
    sizes = {} if "batch" in name else {"batch_size": options.batch_size}
    for contestant, about in work.contestants.items():
        job = Job(**{"work": name, "engine": contestant, **sizes, **about})
        if job.engine in ENGINES and not ENGINES[job.engine].is_here:
            print(f"{name}: {contestant} is not installed", file=sys.stderr)
            continue
        found[contestant] = job
    return found


def proof(job: Job, threads: int) -> list[float]:
    """The numbers that must be everyone's."""
    with Contestant(job, threads, "prove") as contestant:
        return contestant.answer()


def prove(row: Row, work: Work, contestants: dict[str, Job], threads: int) -> None:
    """Compares every contestant's numbers with ours in fp32, not compiled.

    Raises:
        AssertionError: they differ.
    """
    if work.prove is None:
        return
    first = next(iter(contestants.values()))
    plain = replace(first, precision="fp32", compile=False, in_parts=False)
    exact = proof(plain, threads)
    for name, job in contestants.items():
        numbers = exact if job == plain else proof(job, threads)
        worst = max(abs(n - o) / max(1.0, abs(o)) for n, o in zip(numbers, exact, strict=True))
        limit = work.tolerance if job.precision.startswith("fp32") else work.bf16_tolerance
        if not worst <= limit:
            raise AssertionError(f"{row.work}: {name} differs from ours in fp32 by {worst:.1e}")
        row.notes.append(f"{name}: differs from ours in fp32 by {worst:.1e} (at most {limit:g})")


def measure(name: str, options: argparse.Namespace) -> Row:
    """All rounds of a work, after its proof."""
    row, work = Row(name), WORKS[name]
    contestants = jobs(name, work, options)
    prove(row, work, contestants, options.threads)
    with ExitStack() as stack:
        ready: dict[str, Contestant] = {}
        for contestant, job in contestants.items():
            ready[contestant] = stack.enter_context(Contestant(job, options.threads, "measure"))
            if said := ready[contestant].answer():
                row.notes.append(f"{contestant}: {said}")
        for _ in range(options.rounds):
            for contestant, process in ready.items():
                figures = process.turn()
                row.turns.setdefault(contestant, []).append(figures)
                said = ", ".join(f"{key} {significant(v)}" for key, v in figures.items())
                print(f"{name}: {contestant}: {said}", file=sys.stderr, flush=True)
    return row


def ratio(row: Row, figure: str, name: str) -> str:
    """Ours, the first, against a contestant, by medians; above 1 where ours is better."""
    ours = median(turn[figure] for turn in next(iter(row.turns.values())))
    theirs = median(turn[figure] for turn in row.turns[name])
    better, worse = (theirs, ours) if figure in SMALLER_IS_BETTER else (ours, theirs)
    return f"{better / worse:.2f}" if worse else ""


def table(rows: list[Row]) -> Iterator[str]:
    """A line for each work, contestant and figure."""
    yield "| work | contestant | figure | median (least-most) | ours is better by |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows:
        first = next(iter(row.turns))
        for name, turns in row.turns.items():
            for figure in turns[0]:
                cell = spread([turn[figure] for turn in turns])
                gain = "" if name == first else ratio(row, figure, name)
                yield f"| {row.work} | {name} | {figure} | {cell} | {gain} |"


def report(rows: list[Row], options: argparse.Namespace, load: float) -> tuple[str, dict[str, Any]]:
    """The Markdown to print and the JSON to keep; `load` is how busy the machine was before."""
    packages = ["torch", *(e.module for e in ENGINES.values() if e.is_here)]
    versions = {name: metadata.version(name) for name in packages}
    about = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S"),
        "processor": processor(),
        "threads": options.threads,
        "memory_gib": round(memory_gib(), 1),
        "load_before": round(load, 2),
        "commit": commit(),
        "versions": versions,
    }
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"{about['date'][:10]}. {about['processor']}, {options.threads} threads, "
        f"{about['memory_gib']:.0f} GB; {platform.system()}, Python {platform.python_version()}; "
        f"load before it {about['load_before']}; commit {about['commit']}; {listed}.",
        "",
        f"    uv run --group bench python packages/nnparts/benches/parts.py --work "
        f"{shlex.join(options.work)} --rounds {options.rounds} --batch-size {options.batch_size}",
        "",
        *table(rows),
        "",
        LEGEND,
        "",
        *(f"* {row.work}: {WORKS[row.work].about}." for row in rows),
        "",
        "Compared before anything was timed, and what was chosen by measuring:",
        "",
        *(f"* {row.work}: {note}." for row in rows for note in row.notes),
    ]
    return "\n".join(lines), about | {"rows": [asdict(row) for row in rows]}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    out = Path(tempfile.gettempdir()) / "nnparts-bench"
    parser.add_argument("--out", type=Path, default=out, help="for the figures; %(default)s")
    parser.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8, help="of training; %(default)s")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args(arguments)


def main() -> None:
    """Measures, prints, and keeps all figures."""
    options, load = parse(), os.getloadavg()[0]
    rows = [measure(name, options) for name in options.work]
    text, raw = report(rows, options, load)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"parts-{raw['date']}.json"
    path.write_text(json.dumps(raw, indent=1))
    print(text)
    print(f"all figures: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
