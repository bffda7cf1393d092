"""The texts of `train.py`: what is learned from each, and how those that are made are made."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import CODE, TALES, WEB, mixed

LINE_END = "<|end of line|>"
BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Work:
    """A corpus and how many entries the vocabulary is to have.

    `make(data, cache)` gives the corpus' path; `left_out` says why a trainer does not take part;
    `by_threads`: ours is measured on one thread as well.
    """

    about: str
    vocab_size: int
    make: Callable[[Path, Path], Path]
    left_out: dict[str, str]
    by_threads: bool = False


def small(data: Path, cache: Path) -> Path:
    """The first lines of the tales, 130 kB."""
    path = cache / "small.txt"
    text = (data / TALES).read_bytes()[:130_000]
    path.write_bytes(text[: text.rindex(b"\n") + 1])
    return path


WORKS = {
    "tales": Work("English prose", 10_000, lambda data, _: data / TALES, {}),
    "web": Work("some 60 languages", 32_000, lambda data, _: data / WEB, {}),
    "code": Work("C source", 32_000, lambda data, _: data / CODE, {}),
    "mixed": Work(
        "the documents of all three, shuffled and repeated",
        32_000,
        lambda data, cache: mixed(data, cache, size=1 << 31),
        {
            "rustbpe": "some 25 MB/s: one and a half minutes a run",
            "tokenizers": "some 8 MB/s: over four minutes a run",
        },
        by_threads=True,
    ),
    "small": Work("the beginning of tales", 500, small, {}),
}


def sha256(corpus: Path) -> str:
    """Names the corpus, and reading it brings it into the page cache."""
    with corpus.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blocks_of_lines(corpus: Path) -> Iterator[bytes]:
    """The corpus in blocks that end at line ends."""
    with corpus.open("rb") as file:
        while lines := file.readlines(BLOCK_BYTES):
            yield b"".join(lines)


def mark_line_ends(corpus: Path, marked: Path) -> None:
    r"""Writes the corpus with a special token after each "\n".

    A trainer that cuts out special tokens then learns what one that cuts at line ends learns.
    """
    mark = LINE_END.encode()
    with marked.open("wb") as file:
        for block in blocks_of_lines(corpus):
            if mark in block:
                raise ValueError(f"{corpus} must not hold {LINE_END!r}, which marks line ends here")
            file.write(block.replace(b"\n", b"\n" + mark))
