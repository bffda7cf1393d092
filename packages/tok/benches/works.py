"""What is measured: texts, calls, decoding, loading, files; each gives figures of one process."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from engines import END, Engine, array

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import CODE, TALES, WEB, peak_rss_bytes

Figures = dict[str, float]


@dataclass(frozen=True)
class Job:
    """What one process is to do; `prove` asks for the ids' hash and no figures.

    `data` and `vocabulary` are folders; `file` and `output` are for the work of that name.
    """

    engine: str
    work: str
    threads: int
    data: str
    vocabulary: str
    file: str
    output: str
    passes: int = 4
    prove: bool = False


@dataclass(frozen=True)
class Work:
    """`run(engine, tokenizer, job)` gives figures by name; `text(data)` is what is to be equal."""

    about: str
    unit: str
    text: Callable[[Path], str]
    run: Callable[[Engine, Any, Job, str], Figures]
    threads: tuple[int, ...] = (1,)


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes; what it gives is freed after the clock is read."""
    start = time.perf_counter()
    result = call()
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def documents(text: str, threads: int) -> list[str]:
    """One text for one thread, else its documents, each with its end."""
    if threads == 1:
        return [text]
    parts = text.split(END)
    return [part + END for part in parts[:-1]] + [parts[-1]]


def encode(engine: Engine, tokenizer: Any, job: Job, text: str) -> Figures:
    """MB/s of the first pass and the median of the later ones."""
    texts = documents(text, job.threads)
    megabytes = len(text.encode()) / 1e6
    times = [
        seconds(lambda: engine.flat(tokenizer, texts, job.threads)) for _ in range(1 + job.passes)
    ]
    return {"cold": megabytes / times[0], "warm": megabytes / median(times[1:])}


def calls(size: int) -> Callable[[Engine, Any, Job, str], Figures]:
    """Microseconds a call that returns `list[int]`, over 256 texts of `size` bytes, all warm."""

    def run(engine: Engine, tokenizer: Any, job: Job, text: str) -> Figures:
        texts = [text[at : at + size] for at in range(0, 256 * size, size)]
        number = 20_000 if size < 1000 else 4_000

        def all_calls() -> None:
            for part in islice(cycle(texts), number):
                engine.ids(tokenizer, part)

        all_calls()
        return {"µs": min(seconds(all_calls) for _ in range(3)) / number * 1e6}

    return run


def decode(engine: Engine, tokenizer: Any, job: Job, text: str) -> Figures:
    """MB/s of text that a list of ids is turned into."""
    ids = array(engine.flat(tokenizer, [text], 1)).tolist()
    megabytes = len(text.encode()) / 1e6
    times = [seconds(lambda: engine.decode(tokenizer, ids)) for _ in range(1 + job.passes)]
    return {"MB/s": megabytes / median(times[1:])}


def file(engine: Engine, tokenizer: Any, job: Job, text: str) -> Figures:
    """MB/s from a text file to ids on disk, and the most memory that the process had."""
    assert engine.files is not None
    elapsed = seconds(lambda: engine.files(tokenizer, job.file, job.output, job.threads))
    megabytes = Path(job.file).stat().st_size / 1e6
    return {"MB/s": megabytes / elapsed, "peak RSS, MB": peak_rss_bytes() / 1e6}


def load(engine: Engine, tokenizer: Any, job: Job, text: str) -> Figures:
    """Nothing more: each process measures how long loading took (`load, ms`)."""
    return {}


def corpus(name: str) -> Callable[[Path], str]:
    """A corpus of the folder."""
    return lambda data: (data / name).read_text("utf-8")


def beginning(data: Path) -> str:
    """Two megabytes of prose, ASCII and no special token: n characters are n bytes."""
    text = (data / TALES).read_text("utf-8")[:2_000_000].replace(END, "")
    return text.encode("ascii", "ignore").decode()


def spaceless(data: Path) -> str:
    """A megabyte of prose without its white space."""
    return "".join((data / TALES).read_text("utf-8")[:1_500_000].replace(END, "").split())


WORKS = {
    "tales": Work("English prose", "MB/s", corpus(TALES), encode, (1, 2)),
    "web": Work("some 60 languages", "MB/s", corpus(WEB), encode, (1, 2)),
    "code": Work("C source", "MB/s", corpus(CODE), encode, (1, 2)),
    "calls of 12 B": Work("prose, list[int]", "µs", beginning, calls(12)),
    "calls of 400 B": Work("prose, list[int]", "µs", beginning, calls(400)),
    "calls of 4 kB": Work("prose, list[int]", "µs", beginning, calls(4000)),
    "decode": Work("2 MB of prose, from a list", "MB/s", beginning, decode),
    "letter": Work('"a" * 10_000_000', "MB/s", lambda data: "a" * 10_000_000, encode),
    "sign": Work('"^" * 1_000_000', "MB/s", lambda data: "^" * 1_000_000, encode),
    "spaceless": Work("1 MB of prose, no white space", "MB/s", spaceless, encode),
    "load": Work("from the folder to the first call", "ms", beginning, load),
    "file": Work("all three corpora, shuffled and repeated", "MB/s", beginning, file, (2,)),
}


def file_digest(engine: Engine, tokenizer: Any, job: Job) -> str:
    """The hash and number of the ids that stand in the file written; not all in memory at once."""
    assert engine.files is not None
    engine.files(tokenizer, job.file, job.output, job.threads)
    ids = np.load(job.output, mmap_mode="r")
    hashed = hashlib.sha256()
    for start in range(0, ids.size, 2**22):
        hashed.update(ids[start : start + 2**22].astype("<u4").tobytes())
    return f"{hashed.hexdigest()} of {ids.size:,} ids"


def digest(engine: Engine, tokenizer: Any, job: Job, text: str) -> str:
    """The ids' hash and number, and that decoding gives the text back."""
    if job.work == "file":
        return file_digest(engine, tokenizer, job)
    ids = array(engine.flat(tokenizer, documents(text, job.threads), job.threads))
    back = engine.decode(tokenizer, ids.tolist())
    if (back.decode() if isinstance(back, bytes) else back) != text:
        raise AssertionError(f"{job.engine} does not decode its ids of {job.work} to the text")
    return f"{hashlib.sha256(ids.tobytes()).hexdigest()} of {ids.size:,} ids"
