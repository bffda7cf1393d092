"""Reading text: small files whole, large ones in blocks; errors name the file and the byte."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import zlib
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias, cast

StrPath: TypeAlias = str | os.PathLike[str]

BLOCK_BYTES = 2**18


@contextmanager
def naming(source: StrPath) -> Generator[None, None, None]:
    """Puts a file's name before the reason of any ValueError raised inside."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def read_text(path: Path) -> str:
    """Reads UTF-8, line ends as they are.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not UTF-8; names the byte.
    """
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}: {error.reason}") from None


def read_json(path: Path) -> object:
    """Reads JSON, in which no object may hold a key twice: all but the last would be lost.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not JSON, or a key twice.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    except RecursionError:
        raise ValueError("not JSON that can be read: it is nested too deeply") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"not JSON: key {twice!r:.80} stands twice in one object")
    return values


def read_blocks(path: Path) -> Iterator[tuple[str, int]]:
    """Yields a UTF-8 file's text with its size in bytes, a block at a time; `.gz` is unpacked.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not UTF-8, or not a whole gzip file; names the file and the byte of its text.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0  # bytes of whole blocks
    with _open(path) as file:
        while block := _read_block(file, path):
            held = len(decoder.getstate()[0])  # bytes of a character that the block before began
            yield _decode(decoder, block, path, done - held), len(block)
            done += len(block)
    _decode(decoder, b"", path, done - len(decoder.getstate()[0]))


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _read_block(file: IO[bytes], path: Path) -> bytes:
    try:
        return file.read(BLOCK_BYTES)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path}: not a whole gzip file: {error}") from error


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, path: Path, start: int) -> str:
    """Decodes a block that begins, with what the decoder holds, at byte `start`; b"" ends it."""
    try:
        return decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 at byte {start + error.start}: {error.reason}"
        ) from None
