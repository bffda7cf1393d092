"""WARC files: the texts that Common Crawl and others have taken from pages, as rows.

A WARC file (ISO 28500) is records one after the other. Those of the type `conversion` hold text, as
in Common Crawl's WET files; `response` records hold pages as they came. Text is not taken from HTML
here. datatrove's extractor gives a page one second of time and knows the pages before it, so that
its text depends on the machine and on the share; and it would be done twice, to count and to
encode. datatrove's reader of WARC files is not used either: it leaves out in silence what it can't
decode, and has need of a library of the system, libmagic.
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO

from prepare.cluster.documents import (
    BLOCK_BYTES,
    BadDocument,
    Writer,
    text_problem,
    too_long,
)

if TYPE_CHECKING:
    from warcio.archiveiterator import ArchiveIterator

ABOUT_OTHERS = {"warcinfo", "request", "metadata", "revisit"}
"""Records without a document of their own."""


def check_installed() -> None:
    """Refuses WARC files where nothing reads them.

    Raises:
        ValueError: warcio is not installed.
    """
    if find_spec("warcio") is None:
        raise ValueError(
            "WARC files are read by warcio, which is not installed: it comes with the extra warc,"
            " pip install 'prepare-app[warc]'"
        )


def copy_texts(
    source: BinaryIO, target: Writer, *, max_document_bytes: int, file: str
) -> Iterator[BadDocument]:
    """Copies the texts of a WARC file into rows of JSON, and yields the bad ones.

    Args:
        source: the file, unpacked.
        target: what the rows are written to.
        max_document_bytes: a longer text is bad.
        file: what errors and `BadDocument` shall name.

    Raises:
        ValueError: it is no whole WARC file, or holds pages from which no text was taken.
    """
    from warcio.archiveiterator import ArchiveIterator

    records = ArchiveIterator(_Source(source), no_record_parse=True)
    for record in _records(records, file):
        text, size = _content(record, max_document_bytes, file)
        at = records.get_record_offset()
        if record.rec_type in ABOUT_OTHERS:
            continue
        if record.rec_type != "conversion":
            raise ValueError(
                f"{file}: the record at byte {at:,} is of the type {record.rec_type}, a page as it"
                " came, and no text is taken from pages here: name the WET file of it, or take the"
                " text into .jsonl files first, as datatrove's step Trafilatura does (pip install"
                " 'datatrove[processing]')"
            )
        reason = too_long(max_document_bytes) if text is None else text_problem(text)
        if text is None or reason:
            yield BadDocument(file, at, size, str(reason))
        else:
            row = json.dumps({"text": text.decode()}, ensure_ascii=False)
            target.write(row.encode() + b"\n")


def _records(records: ArchiveIterator, file: str) -> Iterator[Any]:
    """The records; what is none is a ValueError that names the file."""
    from warcio.exceptions import ArchiveLoadFailed

    for number in itertools.count():
        try:
            record = next(records, None)
        except (ArchiveLoadFailed, TypeError, ValueError) as error:  # as cut heads end in warcio
            raise ValueError(f"{file}: not a whole WARC file: {error}") from error
        if records.err_count:
            raise ValueError(f"{file}: not a whole WARC file: a record has not the length it gives")
        if record is None and not number:
            raise ValueError(f"{file}: not a whole WARC file: there is no record in it")
        if record is None:
            return
        yield record


def _content(record: Any, max_bytes: int, file: str) -> tuple[bytes | None, int]:
    """What a record holds, None if that is more than `max_bytes`; and how many bytes it is."""
    length = record.rec_headers.get_header("Content-Length")
    if length is None or not length.isdecimal():
        raise ValueError(f"{file}: not a whole WARC file: a record gives its length as {length}")
    size, stream = int(length), record.raw_stream
    content = stream.read(size) if size <= max_bytes else None
    found = len(content or b"")
    while block := stream.read(BLOCK_BYTES):
        found += len(block)
    if found != size:
        raise ValueError(
            f"{file}: not a whole WARC file: a record of {size:,} bytes ends after {found:,}"
        )
    return content, size


class _Source:
    """What warcio reads from. An EOFError would be the file's end for it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, zlib.error) as error:
            raise ValueError(f"not a whole gzip file: {error}") from error
