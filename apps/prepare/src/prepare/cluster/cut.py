"""Where text may be cut into shares: behind a document, found without reading all of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import PurePosixPath
from typing import BinaryIO

ROWS = {".jsonl", ".ndjson"}
# Not .zst: Python's reader of it ends at a file's first frame, and is silent where it is cut short.
WHOLE = {".parquet", ".zst"}
_WARC = re.compile(r"\.(warc|wet)(\.(gz|zst))?$", re.IGNORECASE)
BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class TextFile:
    """A file of text as it was when the run was planned."""

    path: str
    """Path or URL."""
    size: int
    """In bytes."""
    version: str
    """Another one means that the file was written again: its ETag, or when it was modified."""


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `stop` of a file."""

    file: TextFile
    start: int
    stop: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.stop - self.start

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the file."""
        return self.size == self.file.size


Share = tuple[Span, ...]


def is_gzip(path: str) -> bool:
    """Whether a file is compressed by gzip, by the end of its name."""
    return PurePosixPath(path).suffix.lower() == ".gz"


def is_warc(path: str) -> bool:
    """Whether a file is a WARC file, by its name: `.warc`, `.wet`, packed or not."""
    return _WARC.search(path) is not None


def content_name(path: str) -> str:
    """The name of a file's content: without `.gz`."""
    name = PurePosixPath(path)
    return name.stem if is_gzip(path) else name.name


def document_end(path: str, special_tokens: Sequence[str]) -> bytes | None:
    """The bytes that end each document of a file; None where none can be told from the others.

    In rows it is the end of a line. Tables, `.zst` and WARC files are not taken apart here. In text
    it is the first special token, unless an occurrence of that could overlap with one of another
    special token, or of its own: then which of the two a place is depends on what stands before it,
    and a search from the middle could err.
    """
    suffix = PurePosixPath(content_name(path)).suffix.lower()
    if suffix in WHOLE or is_warc(path):
        return None
    if suffix in ROWS:
        return b"\n"
    tokens = [token.encode() for token in special_tokens]
    if not tokens or any(_can_overlap(tokens[0], token) for token in tokens):
        return None
    return tokens[0]


def _can_overlap(end: bytes, token: bytes) -> bool:
    if end != token and (end in token or token in end):
        return True
    shorter = min(len(end), len(token))
    return any(end[-n:] == token[:n] or token[-n:] == end[:n] for n in range(1, shorter))


def cut(
    files: Sequence[TextFile],
    num_shares: int,
    special_tokens: Sequence[str],
    open_file: Callable[[TextFile], AbstractContextManager[BinaryIO]],
    max_document_bytes: int,
) -> list[Share]:
    """Cuts files, one after the other, into at most so many shares of about the same size.

    A share begins where a file does or behind a document: behind the first one that ends after its
    even share of bytes, looked for in `max_document_bytes`. Compressed files and tables stay whole.
    There are fewer shares where there are fewer such places. None is empty.
    """
    begins = list(accumulate((file.size for file in files), initial=0))
    total = begins[-1]

    def place(target: int) -> int | None:
        """The first place for a cut from `target` on, counted over all files."""
        index = next(
            i for i, (start, stop) in enumerate(pairwise(begins)) if start <= target < stop
        )
        file, offset = files[index], target - begins[index]
        end = None if is_gzip(file.path) else document_end(file.path, special_tokens)
        if end is None or offset == 0:
            return begins[index] if offset * 2 < file.size else begins[index + 1]
        with open_file(file) as reader:
            found = _find(reader, end, offset, offset + max_document_bytes)
        return None if found is None else begins[index] + found

    targets = {total * share // num_shares for share in range(1, num_shares)} - {0}
    places = {place(target) for target in sorted(targets)} - {None, 0, total}
    borders = [0, *sorted(at for at in places if at is not None), total] if total else []
    return [_share(files, begins, start, stop) for start, stop in pairwise(borders)]


def _share(files: Sequence[TextFile], begins: Sequence[int], start: int, stop: int) -> Share:
    spans = (
        Span(file, max(start, begin) - begin, min(stop, begin + file.size) - begin)
        for file, begin in zip(files, begins, strict=False)
    )
    return tuple(span for span in spans if span.size > 0)


def _find(reader: BinaryIO, end: bytes, start: int, stop: int) -> int | None:
    """The place behind the first `end` that begins between two places; None if there is none."""
    reader.seek(start, os.SEEK_SET)
    window, offset = b"", start  # of the window
    while offset < stop and (block := reader.read(BLOCK_BYTES)):
        window += block
        if (at := window.find(end)) >= 0:
            return offset + at + len(end)
        keep = min(len(end) - 1, len(window))
        offset += len(window) - keep
        window = window[len(window) - keep :]
    return None
