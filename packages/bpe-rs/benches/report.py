"""What `train.py` measured, as Markdown and as JSON."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from trainers import TRAINERS

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import commit, memory_gib, processor, significant, spread

Turn = dict[str, Any]
LEGEND = """\
Medians, with the least and the most, of turns that are each a new process; the corpus is in the
page cache. Seconds: the call that learns. Process: with the start of Python and all imports. CPU:
user and system, of the process. Import: of the package. MB: 10^6 bytes. Threads are set by
`num_threads=` for ours, `threads=` for gigabpe, `RAYON_NUM_THREADS` for the others;
`TOKENIZERS_PARALLELISM` is false for one thread."""


@dataclass
class Figures:
    """What was measured of one work: a `Turn` for each process."""

    work: str
    about: str
    vocab_size: int
    corpus_bytes: int
    corpus_sha256: str
    notes: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)

    def rows(self) -> dict[tuple[str, int], list[Turn]]:
        """The turns of each trainer and number of threads."""
        rows: dict[tuple[str, int], list[Turn]] = {}
        for turn in self.turns:
            rows.setdefault((turn["trainer"], turn["threads"]), []).append(turn)
        return rows


def medians(turns: list[Turn], key: str) -> float:
    """The median of one figure."""
    return median(turn[key] for turn in turns)


def spread_of(turns: list[Turn], key: str, scale: float = 1) -> str:
    """`median (least-most)` of one figure."""
    return spread([turn[key] * scale for turn in turns])


def on_threads(trainer: str, threads: int) -> str:
    """A row's name."""
    return f"{trainer}, {threads} thread{'s' * (threads > 1)}"


def table(all_figures: list[Figures]) -> Iterator[str]:
    """A row for each work, trainer and number of threads."""
    yield "| work | trainer | seconds | MB/s | CPU, s | peak RSS, MB | import, ms | process, s |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for figures in all_figures:
        megabytes = figures.corpus_bytes / 1e6
        for row, turns in figures.rows().items():
            columns = [
                f"{figures.work}, {significant(megabytes)} MB, {figures.vocab_size:,}",
                on_threads(*row),
                spread_of(turns, "wall_s"),
                significant(megabytes / medians(turns, "wall_s")),
                spread_of(turns, "cpu_s"),
                spread_of(turns, "peak_rss_bytes", 1e-6),
                spread_of(turns, "import_s", 1e3),
                spread_of(turns, "process_s"),
            ]
            yield f"| {' | '.join(columns)} |"


def ratios(all_figures: list[Figures]) -> Iterator[str]:
    """Ours against the fastest peer of each work, median by median."""
    yield "| work | ours | best peer | times as fast | whole process | peak RSS, ours / its |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for figures in all_figures:
        rows = figures.rows()
        ours = [row for row in rows if TRAINERS[row[0]].module == "bpe_rs"]
        peers = [row for row in rows if row not in ours]
        if not peers:
            continue
        best = min(peers, key=lambda row: medians(rows[row], "wall_s"))
        for row in ours:
            wall, process, memory = (
                medians(rows[best], key) / medians(rows[row], key)
                for key in ("wall_s", "process_s", "peak_rss_bytes")
            )
            yield (
                f"| {figures.work} | {on_threads(*row)} | {best[0]} "
                f"| **{wall:.2f}** | {process:.2f} | {1 / memory:.2f} |"
            )


def by_threads(all_figures: list[Figures]) -> Iterator[str]:
    """How much faster more threads are than one."""
    for figures in all_figures:
        rows = figures.rows()
        for (trainer, threads), turns in rows.items():
            if threads > 1 and (trainer, 1) in rows:
                gain = medians(rows[trainer, 1], "wall_s") / medians(turns, "wall_s")
                yield f"{figures.work}, {trainer}: {threads} threads are {gain:.2f} x one."
                yield ""


def head(command: str, load: float) -> dict[str, Any]:
    """Where, when and with what."""
    packages = sorted({trainer.module.replace("_", "-") for trainer in TRAINERS.values()})
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_gib(), 1),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "load_before": round(load, 2),
        "commit": commit(),
        "versions": {package: metadata.version(package) for package in packages},
        "command": command,
    }


def notes(all_figures: list[Figures]) -> Iterator[str]:
    """What the figures are of."""
    yield LEGEND
    yield ""
    taking_part = {turn["trainer"] for figures in all_figures for turn in figures.turns}
    for name, trainer in TRAINERS.items():
        if name in taking_part:
            yield f"* {name}: {trainer.about}."
    yield ""
    yield "Compared before anything was timed, and left out:"
    yield ""
    for figures in all_figures:
        for note in figures.notes:
            yield f"* {figures.work}, {note}."


def report(all_figures: list[Figures], command: str, load: float) -> tuple[str, dict[str, Any]]:
    """The Markdown to print and the JSON to keep; `load` is how busy the machine was before."""
    about = head(command, load)
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"{about['date'][:10]}. {about['processor']}, {about['cores']} cores, "
        f"{about['memory_gib']:.0f} GB; {about['system']}; load before it {about['load_before']}; "
        f"commit {about['commit']}; {versions}.",
        "",
        f"    {command}",
        "",
        *table(all_figures),
        "",
        *ratios(all_figures),
        "",
        *by_threads(all_figures),
        *notes(all_figures),
    ]
    return "\n".join(lines), about | {"works": [asdict(figures) for figures in all_figures]}
