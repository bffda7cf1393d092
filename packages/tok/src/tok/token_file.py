"""Token files: the ids of a text as `.npy`, and a `.json` sidecar that says what they are.

    train.npy     one array `(token_count,)`, uint16 where every id is below 65,536, else uint32
    train.json    `TokenFileInfo`, as JSON

Whoever trains on the ids memory-maps the first and checks it against the second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

FORMAT, VERSION = "groundup-tokens", 1


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
    """Names of the text files, in order; of parts of a file, one after the other, its name once."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Whatever the caller wants to keep with the ids."""
    shard: Mapping[str, Any] | None = None
    """Of one file of several: which one it is, where it ends in the text, and how all were made."""

    def to_json(self) -> str:
        """The sidecar's text; its format is `groundup-tokens`, version 1."""
        header = {"format": FORMAT, "version": VERSION}
        content = {key: value for key, value in asdict(self).items() if value is not None}
        return json.dumps(header | content, indent=2, allow_nan=False) + "\n"


def sidecar_path(path: Path) -> Path:
    """The sidecar of the token file at `path`."""
    return path.with_suffix(".json")


def read_info(path: Path) -> TokenFileInfo:
    """Reads the sidecar of the token file at `path`, and checks the array against it.

    Raises:
        FileNotFoundError: one of the two is missing.
        ValueError: one is not what this module writes, or they do not belong together.
    """
    sidecar = sidecar_path(path)
    try:
        content = json.loads(sidecar.read_bytes())
        if (content.pop("format"), content.pop("version")) != (FORMAT, VERSION):
            raise ValueError(f"not of format {FORMAT!r}, version {VERSION}")
        info = TokenFileInfo(**content | {"source": tuple(content["source"])})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{sidecar} is no sidecar of a token file: {error!r}") from error
    _check_array(path, info)
    return info


def _check_array(path: Path, info: TokenFileInfo) -> None:
    """Looks at the header and the length of the file, not at the ids."""
    expected = f"{info.token_count} ids of {info.dtype}, as its sidecar says"
    with path.open("rb") as file:
        try:
            npy.read_magic(file)
            shape, _, dtype = npy.read_array_header_1_0(file)
        except ValueError as error:
            raise ValueError(f"{path} must hold {expected}, but is no .npy: {error}") from error
        length = path.stat().st_size - file.tell()
    if (str(dtype), shape) != (info.dtype, (info.token_count,)):
        raise ValueError(f"{path} must hold {expected}, but holds {dtype} of shape {shape}")
    if length != info.token_count * dtype.itemsize:
        raise ValueError(f"{path} must hold {expected}, but has {length} bytes of ids")


class TokenWriter:
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
        self.byte_count = 0
        self.document_count = 0
        self._file = file
        self._dtype = dtype.newbyteorder("<")
        self._separator_id = separator_id
        self._write_header()

    def write(self, ids: NDArray[np.uint16 | np.uint32], byte_count: int) -> None:
        """Appends the ids of so many bytes of text."""
        self._file.write(ids.astype(self._dtype, copy=False).data)
        self.token_count += ids.size
        self.byte_count += byte_count
        if self._separator_id is not None:
            self.document_count += int(np.count_nonzero(ids == self._separator_id))

    def finish(self) -> None:
        """Completes the header."""
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
