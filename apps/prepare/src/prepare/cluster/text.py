"""A share's good documents as count and encode read them: where they lie, or as a copy.

A local file that is not packed is read in place, by its bytes from and to. Whether all of it is
good, the reader finds out by itself: bpe-rs checks UTF-8 and JSON at some gigabytes a second, and
how long documents are is seen by one jump for each longest one. Only where it meets something bad
are the documents looked at one by one, to name the bad ones and read around them. Whatever lies
elsewhere or is gzipped is copied to the task's disk, and looked at on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from fsspec.implementations.local import LocalFileSystem

from prepare.cluster.cut import ROWS, Share, Span, content_name, document_end, is_gzip, is_warc
from prepare.cluster.documents import (
    NOWHERE,
    BadDocument,
    Writer,
    copy_documents,
    row_problem,
    text_problem,
)
from prepare.cluster.folder import file_system
from prepare.cluster.plan import Settings, check_unchanged, open_file
from prepare.cluster.warc import copy_texts

WINDOW_BYTES = 2**16

Made = TypeVar("Made")


@dataclass(frozen=True)
class Sources:
    """Local files, and the bytes that are read of each; None for all."""

    paths: list[Path]
    spans: list[tuple[int, int] | None]

    @property
    def is_empty(self) -> bool:
        """Whether there is no text in them."""
        return not any(
            path.stat().st_size if span is None else span[1] - span[0]
            for path, span in zip(self.paths, self.spans, strict=True)
        )


@dataclass(frozen=True)
class ShareText:
    """A share, and the directory of a task that copies may be put in."""

    share: Share
    settings: Settings
    scratch: Path

    def read(
        self, work: Callable[[Sources], Made], known_bad: Sequence[BadDocument] | None = None
    ) -> tuple[Made, list[BadDocument]]:
        """Does `work` on the good documents, perhaps twice; returns what it made, and the bad ones.

        Args:
            work: reads the sources from their beginning to their end.
            known_bad: the bad documents, where an earlier task has told them.

        Raises:
            ValueError: a document is bad, and that was to be an error; or what `work` raises, with
                the names of the files that copies are of.
        """
        pieces = [_Piece.of(span, number, self) for number, span in enumerate(self.share)]
        for piece in pieces:
            piece.prepare(known_bad)
        try:
            made = work(_sources(pieces))
        except ValueError as error:
            # Copies were looked at when they were made; others are now.
            found = [piece.look() for piece in pieces]
            if not any(found):
                raise _named(error, pieces) from error
            made = work(_sources(pieces))
        for piece in pieces:
            check_unchanged(piece.span.file)  # what was read in place is what was planned
        return made, [bad for piece in pieces for bad in piece.bad]


class _Piece:
    """A span, and where its good documents are."""

    def __init__(self, span: Span, directory: Path, text: ShareText) -> None:
        self.span, self.bad = span, list[BadDocument]()
        self.sources: list[tuple[Path, tuple[int, int] | None]] = []
        self._directory, self._text = directory, text
        self._is_looked_at = False
        self._end = document_end(span.file.path, text.settings.special_tokens)

    @classmethod
    def of(cls, span: Span, number: int, text: ShareText) -> _Piece:
        return cls(span, text.scratch / f"text-{number:05}", text)

    def prepare(self, known_bad: Sequence[BadDocument] | None) -> None:
        """Finds the good documents, as far as that must be done before they are read."""
        path = _local(self.span)
        if path is None or is_warc(self.span.file.path) or (self._end and self._is_packed):
            self._copy()
            return
        check_unchanged(self.span.file)
        if self._end is None:  # it can't be taken apart: bpe-rs looks at it as a whole
            self.sources = [(path, None)]
        elif known_bad is not None:
            self._is_looked_at = True
            self._read_around(path, [bad for bad in known_bad if _is_within(bad, self.span)])
        elif has_long_document(path, self.span, self._end, self._text.settings.max_document_bytes):
            self.look()
        else:
            self._read_around(path, [])

    def look(self) -> bool:
        """Looks at documents that are read in place; whether it found bad ones not known before."""
        path = _local(self.span)
        if path is None or self._end is None or self._is_looked_at:
            return False
        with open_file(self.span.file) as whole:
            self._read_around(path, list(self._checked(self._documents(whole, NOWHERE))))
        self._is_looked_at = True
        return bool(self.bad)

    def _read_around(self, path: Path, bad: list[BadDocument]) -> None:
        self.bad = bad
        borders = [self.span.start]
        for document in bad:
            borders += [document.byte, document.byte + document.size]
        borders.append(self.span.stop)
        good = zip(borders[::2], borders[1::2], strict=True)
        self.sources = [(path, (start, stop)) for start, stop in good if start < stop]

    def _copy(self) -> None:
        file = self.span.file
        self._directory.mkdir()
        if is_warc(file.path):
            target = self._directory / f"{content_name(file.path)}.jsonl"
            with open_file(file) as whole, target.open("wb") as writer:
                self.bad = list(self._checked(self._texts(whole, writer)))
        elif self._end is None:
            check_unchanged(file)
            system, name = file_system(file.path)
            target = self._directory / Path(file.path).name
            system.get_file(name, str(target))
        else:
            target = self._directory / content_name(file.path)
            with open_file(file) as whole, target.open("wb") as writer:
                self.bad = list(self._checked(self._documents(whole, writer)))
        self._is_looked_at = True
        self.sources = [(target, None)]

    @property
    def _is_packed(self) -> bool:
        return is_gzip(self.span.file.path)

    def _documents(self, whole: BinaryIO, target: Writer) -> Iterator[BadDocument]:
        """Writes the good documents to `target`, and gives the bad ones."""
        span = self.span
        assert self._end is not None
        is_rows = Path(content_name(span.file.path)).suffix.lower() in ROWS
        return copy_documents(
            whole if self._is_packed else _Window(whole, span.start, span.stop),
            target,
            end=self._end,
            problem=row_problem if is_rows else text_problem,
            max_document_bytes=self._text.settings.max_document_bytes,
            file=span.file.path,
            start=span.start,
        )

    def _texts(self, whole: BinaryIO, target: Writer) -> Iterator[BadDocument]:
        """Writes the good texts of a WARC file to `target`, and gives the bad ones."""
        limit = self._text.settings.max_document_bytes
        return copy_texts(whole, target, max_document_bytes=limit, file=self.span.file.path)

    def _checked(self, found: Iterator[BadDocument]) -> Iterator[BadDocument]:
        """Passes bad documents on, unless one is to be an error."""
        for bad in found:
            if self._text.settings.bad_documents == "fail":
                raise ValueError(f"{bad}; --bad-documents skip would leave it out")
            yield bad


def _sources(pieces: Sequence[_Piece]) -> Sources:
    sources = [source for piece in pieces for source in piece.sources]
    return Sources([path for path, _ in sources], [span for _, span in sources])


def _named(error: ValueError, pieces: Sequence[_Piece]) -> ValueError:
    """The error, about the files that copies are of."""
    message = str(error)
    for piece in pieces:
        for path, _ in piece.sources:
            message = message.replace(str(path), piece.span.file.path)
    return ValueError(message)


def _local(span: Span) -> Path | None:
    """Where a file is on this machine; None if it is elsewhere."""
    system, name = file_system(span.file.path)
    return Path(name) if isinstance(system, LocalFileSystem) else None


def _is_within(bad: BadDocument, span: Span) -> bool:
    return bad.file == span.file.path and span.start <= bad.byte < span.stop


def known_bad(record: Mapping[str, Any]) -> list[BadDocument]:
    """The bad documents of a task's record."""
    return [BadDocument(**bad) for bad in record["bad_documents"]]


def has_long_document(path: Path, span: Span, end: bytes, limit: int) -> bool:
    """Whether a document of a local file is longer than `limit`.

    From each document on that it comes to, it looks back from `limit` bytes further for the last
    place where one ends. So it reads a window for each 100 MB, not the text.
    """
    with path.open("rb") as file:
        start = span.start
        while span.stop - start > limit:
            found = _last_end(file, end, start, start + limit)
            if found is None:
                return True
            start = found
    return False


def _last_end(file: BinaryIO, end: bytes, start: int, stop: int) -> int | None:
    """The place behind the last `end` that lies between two places; None if there is none."""
    window = b""
    at = stop  # where the window begins
    while at > start:
        size = min(WINDOW_BYTES, at - start)
        at -= size
        file.seek(at)
        window = file.read(size) + window[: len(end) - 1]
        if (found := window.rfind(end)) >= 0:
            return at + found + len(end)
    return None


class _Window:
    """Some bytes of a file, read like one."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self._file, self._left = file, stop - start
        file.seek(start)

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data
