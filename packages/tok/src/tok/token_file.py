"""Token files: the ids of a text as `.npy`, and a `.json` sidecar that says what they are.

    train.npy     one array `(token_count,)`, uint16 where every id is below 65,536, else uint32
    train.json    `TokenFileInfo`, as JSON

Whoever trains on the ids memory-maps the first and checks it against the second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from tok.atomic import replacing
from tok.text_file import StrPath, read_blocks

if TYPE_CHECKING:
    from tok.tokenizer import Tokenizer

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class TokenFileInfo:
    """What a token file holds: the content of its sidecar."""

    dtype: str
    """Of the array: "uint16" or "uint32"."""
    token_count: int
    """Length of the array."""
    byte_count: int
    """Bytes of UTF-8 text that were encoded; with a loss in nats a token it gives bits a byte."""
    document_count: int
    """How often the document separator occurs; 0 where there is none."""
    vocab_size: int
    """Highest id of the tokenizer + 1: the rows that a model's embedding needs."""
    tokenizer_hash: str
    """`Tokenizer.fingerprint`, in hex."""
    source: tuple[str, ...]
    """Names of the text files, in order."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Whatever the caller wants to keep with the ids."""

    def to_json(self) -> str:
        """The sidecar's text; its format is `groundup-tokens`, version 1."""
        header = {"format": "groundup-tokens", "version": 1}
        return json.dumps(header | asdict(self), indent=2, allow_nan=False) + "\n"


def encode_file(
    tokenizer: Tokenizer,
    input_path: StrPath | Sequence[StrPath],
    output_path: StrPath,
    *,
    document_separator: str | None = None,
    extra: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> TokenFileInfo:
    """Encodes text files into one token file, in memory that does not grow with them.

    Both files are written beside and renamed when complete: a run that fails leaves what was there.

    Args:
        tokenizer: what encodes; all its special tokens are recognised.
        input_path: UTF-8 files, gzipped where they end in `.gz`; no token crosses from one to the
            next, and nothing is put between.
        output_path: ends in `.npy`; the sidecar's path ends in `.json` instead.
        document_separator: the special token that `document_count` counts; None means
            "<|endoftext|>" where the tokenizer has it.
        extra: kept in the sidecar; anything that JSON holds.
        progress: called after each block with the bytes of text done so far.

    Raises:
        FileNotFoundError: a text file or the output's directory does not exist.
        ValueError: invalid UTF-8 (names file and byte), no text at all, a separator that is no
            special token, an output path that is not `.npy` or whose sidecar would replace a text.
        TypeError: `extra` is not JSON.
        OSError: the disk is full.
    """
    inputs = _input_paths(input_path)
    output, sidecar = _output_paths(output_path, inputs)
    separator_id = _separator_id(tokenizer, document_separator)
    json.dumps(extra, allow_nan=False)  # a mistake here shall not cost the whole run
    with replacing(output, sidecar) as (ids_file, sidecar_file):
        writer = _NpyWriter(ids_file, tokenizer.dtype, separator_id)
        byte_count = 0
        for ids, block_bytes in _encoded_blocks(tokenizer, inputs):
            writer.write(ids)
            byte_count += block_bytes
            if progress and block_bytes:
                progress(byte_count)
        if not writer.token_count:
            raise ValueError(f"no text to encode in {', '.join(map(str, inputs)) or 'no files'}")
        writer.finish()
        info = TokenFileInfo(
            dtype=tokenizer.dtype.name,
            token_count=writer.token_count,
            byte_count=byte_count,
            document_count=writer.document_count,
            vocab_size=tokenizer.max_token_id + 1,
            tokenizer_hash=tokenizer.fingerprint,
            source=tuple(path.name for path in inputs),
            extra=dict(extra or {}),
        )
        sidecar_file.write(info.to_json().encode())
    return info


def _input_paths(input_path: StrPath | Sequence[StrPath]) -> list[Path]:
    if isinstance(input_path, Sequence) and not isinstance(input_path, str):
        return [Path(path) for path in input_path]
    return [Path(input_path)]


def _output_paths(output_path: StrPath, inputs: Sequence[Path]) -> tuple[Path, Path]:
    output = Path(output_path)
    sidecar = output.with_suffix(".json")
    if output.suffix != ".npy":
        raise ValueError(f"output_path must end in .npy, got {str(output)!r}")
    for path in inputs:
        if path.resolve() in (output.resolve(), sidecar.resolve()):
            raise ValueError(f"{path} would be overwritten by its own ids; choose another output")
    return output, sidecar


def _separator_id(tokenizer: Tokenizer, separator: str | None) -> int | None:
    special_tokens = tokenizer.special_tokens
    if separator is None:
        return special_tokens.get(END_OF_TEXT)
    if separator not in special_tokens:
        raise ValueError(
            f"document_separator must be one of the special tokens {list(special_tokens)}, "
            f"got {separator!r}"
        )
    return special_tokens[separator]


def _encoded_blocks(
    tokenizer: Tokenizer, inputs: Sequence[Path]
) -> Iterator[tuple[np.ndarray[Any, np.dtype[np.uint32]], int]]:
    """Yields the ids that each block of text settles, and the block's bytes."""
    stream = tokenizer.stream()
    for path in inputs:
        for text, block_bytes in read_blocks(path):
            yield stream.feed(text), block_bytes
        yield stream.finish(), 0


class _NpyWriter:
    """Appends ids to a `.npy` file whose length is known only at the end.

    Numpy pads the header so that a one-dimensional array may grow in place: it is written once
    for no ids and once more, over itself, for all.
    """

    def __init__(
        self,
        file: BinaryIO,
        dtype: np.dtype[np.uint16 | np.uint32],
        separator_id: int | None,
    ) -> None:
        self.token_count = 0
        self.document_count = 0
        self._file = file
        self._dtype = dtype.newbyteorder("<")
        self._separator_id = separator_id
        self._write_header()

    def write(self, ids: np.ndarray[Any, np.dtype[np.uint32]]) -> None:
        self._file.write(ids.astype(self._dtype).data)
        self.token_count += ids.size
        if self._separator_id is not None:
            self.document_count += int(np.count_nonzero(ids == self._separator_id))

    def finish(self) -> None:
        header_bytes = self._file.tell() - self.token_count * self._dtype.itemsize
        self._file.seek(0)
        self._write_header()
        assert self._file.tell() == header_bytes, "numpy's header grew over the first ids"

    def _write_header(self) -> None:
        header = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.token_count,),
        }
        npy.write_array_header_1_0(self._file, header)
