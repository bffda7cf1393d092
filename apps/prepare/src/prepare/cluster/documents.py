"""Documents one after the other: looked at, and copied if they are good."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class BadDocument:
    """A document that can't be used, and where it is."""

    file: str
    """Path or URL."""
    byte: int
    """Where it begins, in the unpacked file."""
    size: int
    """In bytes, what ends it included."""
    reason: str
    """What is wrong with it."""

    def __str__(self) -> str:
        return (
            f"{self.file}: the document of {self.size:,} bytes at byte {self.byte:,} {self.reason}"
        )


class Reader(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, so many at most; none at the end."""
        ...


class Writer(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes, /) -> int:
        """Appends bytes; returns how many."""
        ...


class _Nowhere:
    def write(self, data: bytes, /) -> int:
        return len(data)


NOWHERE: Writer = _Nowhere()
"""For who only wants to know which documents are bad."""

Problem = Callable[[bytes], str | None]
"""What is wrong with a document; None for nothing."""


def text_problem(document: bytes) -> str | None:
    """What is wrong with a document of text."""
    try:
        document.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 at its byte {error.start:,}: {error.reason}"
    return None


def row_problem(line: bytes) -> str | None:
    """What is wrong with a line that should be a JSON object with a text."""
    if not line.strip(b" \t\r\n"):
        return None
    try:
        row = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse)
        text = row["text"] if isinstance(row, dict) and "text" in row else None
        if not isinstance(text, str):
            return 'is no JSON object whose field "text" is a string'
        text.encode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 at its byte {error.start:,}: {error.reason}"
    except UnicodeEncodeError:
        return "holds a lone surrogate, which is no character"
    except (ValueError, RecursionError) as error:
        return f"is not JSON: {error}"
    return None


def too_long(max_document_bytes: int) -> str:
    """What is wrong with a longer document."""
    return f"is longer than {max_document_bytes:,} bytes (--max-document-bytes)"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def copy_documents(
    source: Reader,
    target: Writer,
    *,
    end: bytes,
    problem: Problem,
    max_document_bytes: int,
    file: str,
    start: int = 0,
) -> Iterator[BadDocument]:
    """Copies the good documents of `source`, and yields the bad ones.

    Memory is some megabytes, and for long documents a few times `max_document_bytes` at most.

    Args:
        source: read from where it stands to its end.
        target: what good documents are written to, as they are.
        end: ends each document, but perhaps the last.
        problem: tells what is wrong with a document.
        max_document_bytes: a longer document is bad.
        file: what `BadDocument` shall name.
        start: where in `file` the source begins.
    """
    for offset, run, size in _runs(source, end, max_document_bytes):
        at = start + offset
        if run is None:
            yield BadDocument(file, at, size, too_long(max_document_bytes))
        # Text is looked at by the megabyte: what is UTF-8 as a whole is so in all its documents.
        elif problem is text_problem and size <= max_document_bytes and not problem(run):
            target.write(run)
        else:
            for document in _split(run, end):
                reason = problem(document)
                if len(document) > max_document_bytes:
                    reason = too_long(max_document_bytes)
                if reason:
                    yield BadDocument(file, at, len(document), reason)
                else:
                    target.write(document)
                at += len(document)


def _runs(source: Reader, end: bytes, limit: int) -> Iterator[tuple[int, bytes | None, int]]:
    """Yields whole documents by the megabyte: (offset, bytes, size); one too long without bytes."""
    offset, buffer, searched = 0, bytearray(), 0
    while True:
        block = source.read(BLOCK_BYTES)
        buffer += block
        at = buffer.rfind(end, searched)
        searched = max(0, len(buffer) - len(end) + 1)
        cut = at + len(end) if at >= 0 else 0
        if not block:
            cut = len(buffer)
        if cut:
            yield offset, bytes(buffer[:cut]), cut
            offset, searched = offset + cut, 0
            del buffer[:cut]
        elif len(buffer) > limit:
            more, rest = _skip(source, end, bytes(buffer[max(0, len(buffer) - len(end) + 1) :]))
            yield offset, None, len(buffer) + more
            offset, searched = offset + len(buffer) + more, 0
            buffer = bytearray(rest)
        if not block:
            return


def _skip(source: Reader, end: bytes, tail: bytes) -> tuple[int, bytes]:
    """Reads on until a document ends: how many bytes it had yet, and what was read beyond it."""
    size = 0
    while block := source.read(BLOCK_BYTES):
        window = tail + block
        if (at := window.find(end)) >= 0:
            stop = at + len(end)
            return size + stop - len(tail), window[stop:]
        size += len(block)
        tail = window[max(0, len(window) - len(end) + 1) :]
    return size, b""


def _split(run: bytes, end: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(run):
        at = run.find(end, start)
        stop = at + len(end) if at >= 0 else len(run)
        yield run[start:stop]
        start = stop
