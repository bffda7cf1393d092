"""Encoding side by side: ours and its peers, each in a process of its own, in one run.

    uv run --group bench python packages/tok/benches/encode.py --data DIR

DIR holds the corpora and `gpt2/`, GPT-2's vocabulary. For each work all engines must first give the
ids that tiktoken gives, and decode them to the text; then every engine has its turn in each round,
a fresh process each. Printed is a report in Markdown; all figures go to a JSON file in the folder
of what is cached.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import tok
from engines import END, ENGINES, ours_takes_threads
from works import WORKS, Job

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import commit, memory_gib, mixed, processor, significant, spread

OURS, TRUTH = "tok", "tiktoken"
LEGEND = """\
Median, with the least and the most, of processes; each is new. Cold: the first pass of a process;
warm: the median of its later passes. MB: 10^6 bytes of text. Threads are set by `num_threads=` for
ours and tiktoken, by `RAYON_NUM_THREADS` for the others. Ratio: ours against the best peer in this
run, above 1 where ours is better."""
SMALLER_IS_BETTER = ("µs", "load, ms", "peak RSS, MB")


@dataclass
class Row:
    """A work on a number of threads: for each engine, the figures of each process."""

    work: str
    threads: int
    turns: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class NoFigure(Exception):
    """A process that did not end, or not well; says how."""


def run(job: Job, limit: float) -> dict[str, Any]:
    """One turn.

    Raises:
        NoFigure: the process failed or took longer than `limit` seconds.
    """
    command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
    environment = os.environ | {
        "RAYON_NUM_THREADS": str(job.threads),
        "TOKENIZERS_PARALLELISM": "true" if job.threads > 1 else "false",
    }
    arguments = [ENGINES[job.engine].module, json.dumps(asdict(job))]
    try:
        done = subprocess.run(
            [*command, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        raise NoFigure(f"not done after {limit:.0f} s") from None
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise NoFigure(words[-1])
    return json.loads(done.stdout.splitlines()[-1])


def taking_part(job: Job, engines: list[str]) -> Iterator[str]:
    """The engines that offer the work."""
    for name in engines:
        if job.work == "file" and ENGINES[name].files is None:
            continue
        several = job.threads > 1 and job.work != "file"
        if name != OURS or not several or ours_takes_threads():
            yield name


def prove(job: Job, engines: list[str], limit: float, row: Row) -> list[str]:
    """Those that give tiktoken's ids; the others' failure is noted, and ours is an error.

    Raises:
        AssertionError: ours differs.
    """
    if job.work == "load":
        return engines
    digests: dict[str, str] = {}
    for name in engines if job.work == "file" else dict.fromkeys([TRUTH, *engines]):
        try:
            digests[name] = run(replace(job, engine=name, prove=True), limit)["digest"]
        except NoFigure as reason:
            row.notes.append(f"{name}: left out, {reason}")
    truth = digests.get(TRUTH) or next(iter(digests.values()), "")
    for name, digest in list(digests.items()):
        if digest != truth:
            if name == OURS:
                raise AssertionError(f"{job.work}: ours is {digest}, {TRUTH}'s {truth}")
            row.notes.append(f"{name}: left out, its ids are others: {digest}, not {truth}")
            del digests[name]
    row.notes.append(f"equal ids: {', '.join(digests)}: {truth[:12]}{truth[64:]}")
    return [name for name in engines if name in digests]


def measure(job: Job, options: argparse.Namespace) -> Row:
    """All turns of a work on a number of threads, after its proof."""
    row = Row(job.work, job.threads)
    engines = prove(job, list(taking_part(job, options.engines)), options.limit, row)
    for number in range(options.rounds):
        for name in engines:
            try:
                figures = run(replace(job, engine=name), options.limit)
            except NoFigure as reason:
                row.notes.append(f"{name}, round {number + 1}: {reason}")
                continue
            row.turns.setdefault(name, []).append(figures)
            said = ", ".join(f"{key} {significant(value)}" for key, value in figures.items())
            print(f"{job.work}, {job.threads}: {name}: {said}", file=sys.stderr)
    return row


def figure_names(row: Row) -> list[str]:
    """What to print of a work: loading only where it is the work."""
    names = dict.fromkeys(name for turns in row.turns.values() for turn in turns for name in turn)
    if row.work == "load":
        return ["load, ms"]
    return [name for name in names if name not in ("load, ms", "import, ms")]


def ratio(row: Row, figure: str) -> str:
    """Ours against the best peer, by medians."""
    medians = {name: median(turn[figure] for turn in turns) for name, turns in row.turns.items()}
    ours = medians.pop(OURS, None)
    if ours is None or not medians:
        return ""
    smaller = figure in SMALLER_IS_BETTER
    best = (min if smaller else max)(medians, key=medians.__getitem__)
    gain = medians[best] / ours if smaller else ours / medians[best]
    return f"**{gain:.2f}** ({best})"


def table(rows: list[Row], engines: list[str]) -> Iterator[str]:
    """A line for each work, number of threads and figure."""
    yield f"| work | figure | {' | '.join(engines)} | ratio to the best peer |"
    yield f"| {' | '.join(['---'] * (len(engines) + 3))} |"
    for row in rows:
        for figure in figure_names(row):
            cells = [
                spread([turn[figure] for turn in row.turns[name]]) if name in row.turns else ""
                for name in engines
            ]
            work = f"{row.work}, {row.threads} thread{'s' * (row.threads > 1)}"
            unit = f"{figure}, MB/s" if figure in ("cold", "warm") else figure
            yield f"| {work} | {unit} | {' | '.join(cells)} | {ratio(row, figure)} |"


def report(rows: list[Row], options: argparse.Namespace, load: float) -> tuple[str, dict[str, Any]]:
    """The Markdown to print and the JSON to keep; `load` is how busy the machine was before."""
    versions = {name: metadata.version(ENGINES[name].module) for name in options.engines}
    about = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_gib(), 1),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "load_before": round(load, 2),
        "commit": commit(),
        "versions": versions,
    }
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"{about['date'][:10]}. {about['processor']}, {about['cores']} cores, "
        f"{about['memory_gib']:.0f} GB; {about['system']}; load before it {about['load_before']}; "
        f"commit {about['commit']}; {listed}.",
        "",
        f"    uv run --group bench python packages/tok/benches/encode.py --data DIR "
        f"--rounds {options.rounds} --file-bytes {options.file_bytes}",
        "",
        *table(rows, options.engines),
        "",
        LEGEND,
        "",
        *(f"* {name}: {ENGINES[name].about}." for name in options.engines),
        *(f"* {name}: {WORKS[name].about}." for name in dict.fromkeys(row.work for row in rows)),
        "",
        "Compared before anything was timed, and left out:",
        "",
        *(f"* {row.work}, {row.threads}: {note}." for row in rows for note in row.notes),
    ]
    return "\n".join(lines), about | {"rows": [asdict(row) for row in rows]}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    cache = Path(tempfile.gettempdir()) / "tok-bench"
    parser.add_argument("--data", type=Path, required=True, help="folder of corpora and gpt2/")
    parser.add_argument("--cache", type=Path, default=cache, help="for what is made; %(default)s")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--threads", nargs="+", type=int, help="only these; else as works say")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=4, help="warm ones; %(default)s")
    parser.add_argument("--limit", type=float, default=120, help="seconds a process; %(default)s")
    parser.add_argument("--file-bytes", type=int, default=2**31)
    return parser.parse_args(arguments)


def make_vocabulary(data: Path, cache: Path) -> Path:
    """GPT-2's vocabulary in each of the formats that engines read."""
    folder = cache / "gpt2"
    folder.mkdir(parents=True, exist_ok=True)
    vocab, merges = (shutil.copy(data / "gpt2" / n, folder) for n in ("vocab.json", "merges.txt"))
    tokenizer = tok.Tokenizer.from_files(vocab, merges, [END])
    tokenizer.to_huggingface(folder / "tokenizer.json")
    tokenizer.to_tiktoken(folder / "gpt2.tiktoken")
    return folder


def jobs(options: argparse.Namespace) -> Iterator[Job]:
    """A job of ours for each row of the report; the peers' are the same but for the engine."""
    vocabulary = str(make_vocabulary(options.data, options.cache))
    output = str(options.cache / "ids.npy")
    for name in options.works:
        threads = options.threads or WORKS[name].threads
        file = ""
        if name == "file":
            file = str(mixed(options.data, options.cache, size=options.file_bytes))
        for number in (number for number in WORKS[name].threads if number in threads):
            data = str(options.data)
            yield Job(OURS, name, number, data, vocabulary, file, output, options.passes)


def main() -> None:
    """Measures, prints, and keeps all figures."""
    options = parse()
    load = os.getloadavg()[0]
    rows = [measure(job, options) for job in jobs(options)]
    text, raw = report(rows, options, load)
    path = options.cache / f"encode-{raw['date']}.json"
    path.write_text(json.dumps(raw, indent=1))
    print(text)
    print(f"all figures: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
