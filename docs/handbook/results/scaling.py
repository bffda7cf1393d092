"""How counts of pretokens grow with the text, and what leaving some out does to the vocabulary.

    uv run python docs/handbook/results/scaling.py --data DIR

writes scaling.json beside this file. DIR holds tales-train.txt, web-20m.txt and code-20m.txt,
documents that end in a line "<|endoftext|>". Measured on a machine that does nothing else.
"""

import argparse
import json
import platform
import random
import tempfile
import time
from collections.abc import Callable, Sequence
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
FAN_IN = 32
"""Files that one task of `prepare` merges."""

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
    """Bytes of an entry in a count file, and seconds to write and to merge such."""
    half = counted(documents[::2])
    path = directory / "half.counts"
    parts = [directory / f"part-{number}.counts" for number in range(FAN_IN)]
    for number, part in enumerate(parts):
        counted(documents[number::FAN_IN]).save(part)
    return {
        "entries": len(half),
        "save_seconds": seconds(lambda: half.save(path)),
        "bytes_an_entry": path.stat().st_size / len(half),
        "merged_entries": sum(len(PretokenCounts.open([part])) for part in parts),
        "merge_seconds": seconds(lambda: PretokenCounts.merge_files(parts, directory / "merged")),
    }


def learning(documents: list[str], directory: Path) -> Measured:
    """Memory for a distinct pretoken, in counts and in learning, and seconds to learn from them."""
    path = directory / "all.counts"
    counts = counted(documents)
    counts.save(path)
    entries = len(counts)

    def learn() -> None:
        train_bpe(PretokenCounts.open([path]), VOCAB_SIZE, [END], num_threads=1)

    return {
        "pretoken_bytes": sum(len(pretoken) for pretoken, _ in counts) / entries,
        "bytes_in_memory": in_a_new_process(memory_of_counts, path) / entries,
        "bytes_to_learn": in_a_new_process(memory_of_learning, path) / entries,
        "seconds": seconds(learn),
    }


def in_a_new_process(measure: Callable[[Path], int], path: Path) -> int:
    """What `measure` finds where nothing that was freed is used again."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure, path).result()


def memory_of_counts(path: Path) -> int:
    """The bytes that counts hold."""
    before = memory("VmRSS")
    counts = PretokenCounts.load(path)
    held = memory("VmRSS") - before
    assert len(counts)
    return held


def memory_of_learning(path: Path) -> int:
    """The most bytes that learning from a file holds at a time."""
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins again here
    train_bpe(PretokenCounts.open([path]), VOCAB_SIZE, [END], num_threads=1)
    return memory("VmHWM") - before


def memory(kind: str) -> int:
    """The memory that this process holds now (VmRSS), or has held at most (VmHWM)."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith(kind))


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


PARTS = ("growth", "count_files", "learning", "speed", "left_out")


def measure(path: Path, directory: Path, parts: Sequence[str]) -> Measured:
    """Parts of one corpus; its last tenth is kept from training, for measuring."""
    documents = path.read_text("utf-8").split(f"{END}\n")
    random.Random(0).shuffle(documents)  # as they lie, languages and sources come in blocks
    cut = len(documents) * 9 // 10
    valid = "".join(documents[cut:])
    measured: Measured = {}
    if "growth" in parts:
        points = growth(documents)
        measured |= {"growth": points, "heaps": heaps_law(points)}
    if "count_files" in parts:
        measured["count_files"] = count_files(documents, directory)
    if "learning" in parts:
        measured["learning"] = learning(documents, directory)
    if "speed" in parts:
        tokenizer = Tokenizer(*train_bpe(path, VOCAB_SIZE, [END]), [END])
        measured["speed"] = speeds(path, tokenizer, directory)
    if "left_out" in parts:
        measured["left_out"] = left_out(documents[:cut], valid)
    return measured


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
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, help="leaves the rest as it was measured"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        corpora = {
            name: rounded(measure(args.data / file, Path(directory), args.only or PARTS))
            for name, file in FILES.items()
        }
    origin = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {"python": platform.python_version(), "bpe-rs": version("bpe-rs")},
    }
    path = Path(__file__).with_suffix(".json")
    if args.only:
        found = json.loads(path.read_text("utf-8"))
        for name, measured in corpora.items():
            found["corpora"][name] |= measured
        found["measured_later"] = dict.fromkeys(args.only, origin)
    else:
        command = f"uv run python docs/handbook/results/{Path(__file__).name} --data DIR"
        found = {"command": command} | origin | {"corpora": corpora}
    path.write_text(f"{json.dumps(found, indent=1)}\n", "utf-8")


if __name__ == "__main__":
    main()
