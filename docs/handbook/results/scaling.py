"""How counts of pretokens grow with the text, and what leaving some out does to the vocabulary.

    uv run python docs/handbook/results/scaling.py --data DIR

writes scaling.json beside this file. DIR holds tales-train.txt, web-20m.txt and code-20m.txt,
documents that end in a line "<|endoftext|>". Measured on a machine that does nothing else.
"""

import argparse
import json
import platform
import random
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from bpe_rs import PretokenCounts, Vocabulary, train_bpe
from shared import END, bytes_a_token, machine
from tok import Tokenizer

FILES = {"tales": "tales-train.txt", "web": "web-20m.txt", "code": "code-20m.txt"}
VOCAB_SIZE = 32_000
SHARES = [1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
MIN_COUNTS = [1, 2, 3, 5, 10, 30]
SAMPLES = [1, 1 / 2, 1 / 4, 1 / 10, 1 / 30]
ROUNDS = 5

Measured = dict[str, Any]


def seconds(work: Callable[[], object]) -> float:
    """The median of `ROUNDS`."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def growth(documents: list[str]) -> list[Measured]:
    """Bytes read, pretokens, and distinct pretokens, of growing parts of the documents."""
    counts, points, done = PretokenCounts([END]), [], 0
    for share in SHARES:
        until = round(share * len(documents))
        counts.update(documents[done:until])
        done = until
        size = len(END.join(documents[:done]).encode())
        points.append({"bytes": size, "pretokens": counts.total, "distinct": len(counts)})
    return points


def heaps_law(points: list[Measured]) -> Measured:
    """The K and beta of distinct = K bytes^beta, by least squares on logarithms."""
    size, distinct = (np.log([point[name] for point in points]) for name in ("bytes", "distinct"))
    beta, log_k = np.polyfit(size, distinct, 1)
    return {"k": float(np.exp(log_k)), "beta": float(beta)}


def count_files(documents: list[str], directory: Path) -> Measured:
    """Bytes of an entry in a count file, and seconds to write, read and merge such files."""
    halves = [PretokenCounts([END]), PretokenCounts([END])]
    for number, counts in enumerate(halves):
        counts.update(documents[number::2])
    path = directory / "half.counts"

    def merge() -> None:
        merged = PretokenCounts.load(path)
        merged.merge(halves[1])

    return {
        "entries": len(halves[0]),
        "save_seconds": seconds(lambda: halves[0].save(path)),
        "bytes_an_entry": path.stat().st_size / len(halves[0]),
        "load_seconds": (load := seconds(lambda: PretokenCounts.load(path))),
        "merge_seconds": seconds(merge) - load,
    }


def learning(documents: list[str], directory: Path) -> Measured:
    """Bytes of memory for a distinct pretoken, and seconds to learn a vocabulary from them all."""
    counts = counted(documents)
    counts.save(directory / "all.counts")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        held = pool.submit(memory_of, directory / "all.counts").result()
    return {
        "bytes_in_memory": held / len(counts),
        "seconds": seconds(lambda: train_bpe(counts, VOCAB_SIZE, [END], num_threads=1)),
    }


def memory_of(path: Path) -> int:
    """The bytes that counts hold; in a new process, where nothing that was freed is used again."""
    before = resident_bytes()
    counts = PretokenCounts.load(path)
    held = resident_bytes() - before
    assert len(counts)
    return held


def resident_bytes() -> int:
    """The memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def speeds(path: Path, tokenizer: Tokenizer, directory: Path) -> Measured:
    """MB/s of one core: counting a file, and encoding it into a file."""
    size = path.stat().st_size / 1e6
    ids = directory / "ids.npy"
    return {
        "count": size / seconds(lambda: PretokenCounts.count(path, [END], num_threads=1)),
        "encode": size / seconds(lambda: tokenizer.encode_file(path, ids, num_threads=1)),
    }


def changed(exact: Vocabulary, other: Vocabulary, valid: str) -> Measured:
    """What part of the exact vocabulary another has, and the bytes a token of the other."""
    learned = [{a + b for a, b in vocabulary.merges} for vocabulary in (exact, other)]
    return {
        "shared": len(learned[0] & learned[1]) / len(learned[0]),
        "bytes_a_token": bytes_a_token(Tokenizer(*other), valid),
    }


def left_out(documents: list[str], valid: str) -> Measured:
    """The vocabulary when rare pretokens, or documents, are left out."""
    counts = counted(documents)
    exact = train_bpe(counts, VOCAB_SIZE, [END])
    frequencies = [count for _, count in counts]
    by_count, by_sample = [], []
    for least in MIN_COUNTS:
        kept = sum(count >= least for count in frequencies) / len(frequencies)
        vocabulary = train_bpe(counts, VOCAB_SIZE, [END], min_count=least)
        by_count.append({"min_count": least, "kept": kept} | changed(exact, vocabulary, valid))
    drawn = random.Random(0).sample(documents, len(documents))
    for share in SAMPLES:
        vocabulary = train_bpe(counted(drawn[: round(share * len(drawn))]), VOCAB_SIZE, [END])
        by_sample.append({"share": share} | changed(exact, vocabulary, valid))
    return {"min_count": by_count, "sample": by_sample}


def counted(documents: list[str]) -> PretokenCounts:
    """The counts of some documents."""
    counts = PretokenCounts([END])
    counts.update(documents)
    return counts


def measure(path: Path, directory: Path) -> Measured:
    """All of one corpus; its last tenth is kept from training, for measuring."""
    documents = path.read_text("utf-8").split(f"{END}\n")
    random.Random(0).shuffle(documents)  # as they lie, languages and sources come in blocks
    points = growth(documents)
    cut = len(documents) * 9 // 10
    valid = "".join(documents[cut:])
    tokenizer = Tokenizer(*train_bpe(path, VOCAB_SIZE, [END]), [END])
    return {
        "growth": points,
        "heaps": heaps_law(points),
        "count_files": count_files(documents, directory),
        "learning": learning(documents, directory),
        "speed": speeds(path, tokenizer, directory),
        "left_out": left_out(documents[:cut], valid),
    }


def rounded(value: Any) -> Any:
    """Numbers to five digits, which is more than was measured."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main() -> None:
    """Measures, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as directory:
        corpora = {name: measure(data / file, Path(directory)) for name, file in FILES.items()}
    origin = {
        "command": f"uv run python docs/handbook/results/{Path(__file__).name} --data DIR",
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {"python": platform.python_version(), "bpe-rs": version("bpe-rs")},
    }
    result = json.dumps(origin | {"corpora": rounded(corpora)}, indent=1)
    Path(__file__).with_suffix(".json").write_text(f"{result}\n", "utf-8")


if __name__ == "__main__":
    main()
