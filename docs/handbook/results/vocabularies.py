"""Vocabularies of three corpora that are not in the repository, and what each does with each text.

    uv run python docs/handbook/results/vocabularies.py --data DIR

writes vocabularies.json beside this file. DIR holds tales-train.txt, tales-valid.txt, web-20m.txt
and code-20m.txt, documents that end in a line "<|endoftext|>", and GPT-2's files in gpt2/. Of web
and code, the last tenth of the documents is kept from training, for measuring.
"""

import argparse
import json
import platform
import re
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import version
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bpe_rs import PretokenCounts, Vocabulary, train_bpe
from shared import END, bytes_a_token, machine
from tok import Tokenizer

SIZES = {"tales": 10_000, "web": 32_000, "code": 32_000}
CURVE = [257, 512, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000]
COMMON_SIZE = 10_000
ROUNDS = 5

SENTENCES = Path(__file__).parents[1] / "texts/human_rights.json"
C_LINE = "for (int i = 0; i < num_rows; i++)\n\t\tsum += table[i];\n"

Measured = tuple[Vocabulary, dict[str, Any]]


def split(path: Path, directory: Path) -> tuple[Path, Path]:
    """Copies all but the last tenth of the documents to one file, and those to another."""
    documents = path.read_text("utf-8").split(f"{END}\n")
    cut = len(documents) * 9 // 10
    parts = documents[:cut], documents[cut:]
    paths = directory / f"{path.stem}-train.txt", directory / f"{path.stem}-valid.txt"
    for part, target in zip(parts, paths, strict=True):
        target.write_text(f"{END}\n".join(part), "utf-8")
    return paths


def learn(path: Path, vocab_size: int) -> Measured:
    """A vocabulary, and what it took; to be run in a process of its own, for its peak memory."""
    start = time.perf_counter()
    counts = PretokenCounts.count(path, [END])
    counted = time.perf_counter()
    vocabulary = train_bpe(counts, vocab_size, [END])
    merged = time.perf_counter()
    took = {
        "pretokens": counts.total,
        "distinct_pretokens": len(counts),
        "count_seconds": counted - start,
        "merge_seconds": merged - counted,
        "peak_rss_mb": peak_rss_mb(),
    }
    return vocabulary, took


def peak_rss_mb() -> float:
    """The most memory that this process has held: Python, numpy and what was done with them.

    VmHWM, since `ru_maxrss` is not below that of the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6


def learn_often(path: Path, vocab_size: int) -> Measured:
    """The vocabulary, and the least of `ROUNDS` new processes: the machine had other work."""
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        runs = list(pool.map(learn, [path] * ROUNDS, [vocab_size] * ROUNDS))
    took = {name: min(run[name] for _, run in runs) for name in runs[0][1]}
    return runs[0][0], {name: round(value, 4) for name, value in took.items()}


def text_of(token: bytes) -> str:
    """A token to look at; bytes that are no characters become U+FFFD."""
    return token.decode("utf-8", errors="replace")


def is_text(token: bytes) -> bool:
    """Whether a token is whole characters."""
    return "\ufffd" not in text_of(token)


def described(vocabulary: Vocabulary) -> dict[str, Any]:
    """What stands in a vocabulary: its first and its longest tokens, and how long tokens are."""
    learned = [left + right for left, right in vocabulary.merges]
    longest = sorted(set(learned), key=lambda token: (-len(token), token))[:10]
    lengths = [len(token) for token in learned]
    return {
        "not_utf8": sum(not is_text(token) for token in learned),
        "first": [text_of(token) for token in learned[:24]],
        "longest": [text_of(token) for token in longest],
        "lengths": [lengths.count(length) for length in range(max(lengths) + 1)],
    }


def compared(vocabularies: dict[str, Vocabulary]) -> dict[str, Any]:
    """How many tokens two of the vocabularies share, and the first whole ones that only one has."""
    tokens = {
        name: [left + right for left, right in vocabulary.truncate(COMMON_SIZE).merges]
        for name, vocabulary in vocabularies.items()
    }
    where = Counter(token for learned in tokens.values() for token in set(learned))
    only = {
        name: [text_of(token) for token in mine if is_text(token) and where[token] == 1]
        for name, mine in tokens.items()
    }
    return {
        "vocab_size": COMMON_SIZE,
        "shared": {
            f"{one} {other}": len(set(tokens[one]) & set(tokens[other]))
            for one, other in combinations(tokens, 2)
        },
        "only_here": {name: first[:16] for name, first in only.items()},
    }


def sample_tokens(tokenizers: dict[str, Tokenizer]) -> dict[str, Any]:
    """How each tokenizer cuts two lines, and how many tokens it needs for nine languages."""
    sentences = json.loads(SENTENCES.read_text("utf-8"))["sentences"]
    lines = sentences["English"], C_LINE
    return {
        "cut": {
            name: [
                [text_of(tokenizer.token_bytes(token_id)) for token_id in tokenizer.encode(line)]
                for line in lines
            ]
            for name, tokenizer in tokenizers.items()
        },
        "tokens": {
            name: {language: tokenizer.count(text) for language, text in sentences.items()}
            for name, tokenizer in tokenizers.items()
        },
    }


def throughput(tokenizer: Tokenizer, path: Path, num_threads: int) -> float:
    """MB/s of a file that is encoded to a file: the best of `ROUNDS`."""
    seconds = []
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            tokenizer.encode_file(path, Path(directory, "ids.npy"), num_threads=num_threads)
            seconds.append(time.perf_counter() - start)
    return round(path.stat().st_size / 1e6 / min(seconds), 1)


def measure(data: Path, directory: Path) -> dict[str, Any]:
    """All of it."""
    files = {"tales": (data / "tales-train.txt", data / "tales-valid.txt")}
    files |= {name: split(data / f"{name}-20m.txt", directory) for name in ("web", "code")}
    valid = {name: path.read_text("utf-8") for name, (_, path) in files.items()}
    vocabularies, corpora = {}, {}
    for name, vocab_size in SIZES.items():
        vocabularies[name], took = learn_often(files[name][0], vocab_size)
        sizes = {"train_bytes": files[name][0].stat().st_size, "vocab_size": vocab_size}
        corpora[name] = sizes | took | described(vocabularies[name])
        corpora[name]["curve"] = {
            size: bytes_a_token(Tokenizer(*vocabularies[name].truncate(size)), valid[name])
            for size in CURVE
            if size <= vocab_size
        }
    tokenizers = {name: Tokenizer(*vocabulary) for name, vocabulary in vocabularies.items()}
    gpt2 = data / "gpt2/vocab.json", data / "gpt2/merges.txt"
    tokenizers["gpt2"] = Tokenizer.from_files(*gpt2)
    return {
        "corpora": corpora,
        "compared": compared(vocabularies),
        "bytes_a_token": {
            name: {corpus: bytes_a_token(tokenizer, text) for corpus, text in valid.items()}
            for name, tokenizer in tokenizers.items()
        },
        "samples": sample_tokens(tokenizers),
        "throughput": {
            name: {threads: throughput(tokenizers[name], path, threads) for threads in (1, 2)}
            for name, (path, _) in files.items()
        },
    }


def main() -> None:
    """Measures, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as directory:
        found = measure(data, Path(directory))
    origin = {
        "command": f"uv run python docs/handbook/results/{Path(__file__).name} --data DIR",
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {"python": platform.python_version(), "bpe-rs": version("bpe-rs")},
    }
    result = json.dumps(origin | found, ensure_ascii=False, indent=1)
    Path(__file__).with_suffix(".json").write_text(f"{result}\n", "utf-8")


if __name__ == "__main__":
    main()
