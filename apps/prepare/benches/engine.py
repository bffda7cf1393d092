"""What an engine costs: `prepare --executor local` against one process, on the same text.

    uv run python apps/prepare/benches/engine.py --data DIR --cache DIR

DIR holds the corpora that `benches/measuring.py` names; 2 GiB are mixed of them and cached. One
worker is compared with a process of one thread, two workers of a thread each with a process of two,
each with all its helpers on as many cores as it has threads or workers (Linux alone can do that).
A run is a process of its own, timed from its start to its end, alternating; the same commands on
1 MB of text tell what starting costs, which is taken off for the overhead. That all write the same
tokens and vocabulary is asserted before anything is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import TALES, commit, mixed, processor, spread

SMALL_BYTES = 1_000_000


@dataclass(frozen=True)
class Way:
    """One way of doing the work, on so many cores."""

    name: str
    cores: int
    flags: tuple[str, ...] = ()

    def command(self, text: Path, valid: Path, out: Path, vocab_size: int) -> list[str]:
        """`prepare` from `text` to `out`."""
        command = [sys.executable, "-m", "prepare", "--input", str(text), "--valid", str(valid)]
        return [*command, "--out", str(out), "--vocab-size", str(vocab_size), *self.flags]


def ways(tasks: int) -> Iterator[Way]:
    """Each number of cores by one process, and by as many workers."""
    for cores in (1, 2):
        yield Way(f"one process, threads: {cores}", cores)
        flags = ("--executor", "local", "--tasks", str(tasks), "--workers", str(cores))
        yield Way(f"`--executor local`, workers: {cores}", cores, flags)


def run(way: Way, text: Path, valid: Path, out: Path, vocab_size: int) -> float:
    """Seconds that the whole command takes.

    Raises:
        RuntimeError: it failed; its last words are in the message.
    """
    shutil.rmtree(out, ignore_errors=True)
    command = way.command(text, valid, out, vocab_size)
    every = os.sched_getaffinity(0)
    # Inherited by all that it starts. bpe-rs takes as many threads as it has cores.
    os.sched_setaffinity(0, sorted(every)[: way.cores])
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    os.sched_setaffinity(0, every)
    if done.returncode:
        raise RuntimeError(f"{way.name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds


def content(out: Path) -> str:
    """A hash over the vocabulary and the training tokens, however many files these are in."""
    digest = hashlib.sha256((out / "tokenizer.json").read_bytes())
    for path in sorted(out.glob("train*.npy")):
        digest.update(np.ascontiguousarray(np.load(path, mmap_mode="r")))
    return digest.hexdigest()


def small_text(text: Path, cache: Path) -> Path:
    """The beginning of `text`, which costs little but what starting does."""
    path = cache / "small.txt"
    with text.open("rb") as file:
        path.write_bytes(file.read(SMALL_BYTES).decode(errors="ignore").encode())
    return path


def measure(texts: list[Path], valid: Path, out: Path, args: argparse.Namespace) -> list[list[str]]:
    """A row for each way: its seconds, those of a small text, and what its engine adds."""
    seconds: dict[tuple[str, Path], list[float]] = {}
    for number in range(args.rounds):
        contents: dict[Path, set[str]] = {text: set() for text in texts}
        for text in texts:
            for way in ways(args.tasks):
                taken = run(way, text, valid, out, args.vocab_size)
                seconds.setdefault((way.name, text), []).append(taken)
                if number == 0:
                    contents[text].add(content(out))
        if number == 0:
            assert all(len(found) == 1 for found in contents.values()), contents
    small, text = texts
    rows: list[list[str]] = []
    alone = 0.0
    for way in ways(args.tasks):
        whole, start = seconds[way.name, text], seconds[way.name, small]
        work = median(whole) - median(start)
        alone = alone if way.flags else work
        added = f"{work - alone:+.2f} s, {100 * (work / alone - 1):+.0f} %" if way.flags else ""
        rows.append([way.name, spread(whole), spread(start), f"{work:.2f}", added])
    return rows


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="directory of the corpora")
    parser.add_argument("--cache", type=Path, required=True, help="directory for text and output")
    parser.add_argument("--size", type=int, default=2**31, help="bytes of text")
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    text = mixed(args.data, args.cache, size=args.size)
    valid = args.data / TALES.replace("train", "valid")
    out = args.cache / "prepared"
    rows = measure([small_text(text, args.cache), text], valid, out, args)
    print(f"{processor()}; commit {commit()}; datatrove {version('datatrove')}")
    about = f"{args.size:,} bytes in {args.tasks} shares, {args.vocab_size:,} entries"
    print(f"{about}, {args.rounds} rounds\n")
    print("| way | s, median (least-most) | s for 1 MB | work, s | added by the engine |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    shutil.rmtree(out, ignore_errors=True)


if __name__ == "__main__":
    main()
