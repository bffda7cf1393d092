"""Token files: token ids in a `.npy` file, and a `.json` sidecar that says what they are.

`train.npy` is one 1-D array of integers (uint16 below 65,536 ids, else uint32); `train.json`
beside it names the tokenizer by its hash and counts tokens, bytes and documents.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

FORMAT = "groundup-tokens"
VERSION = 1


@dataclass(frozen=True)
class TokenFileInfo:
    """What the sidecar of a token file says."""

    dtype: str
    """Numpy's name of the array's dtype."""
    token_count: int
    """Token ids in the file."""
    byte_count: int
    """UTF-8 bytes of the text they stand for."""
    document_count: int
    """Documents in that text."""
    vocab_size: int
    """Entries of the tokenizer's vocabulary; every token id is below it."""
    tokenizer_hash: str
    """Hexadecimal hash of the tokenizer that wrote the file."""
    source: list[str] = field(default_factory=list[str])
    """Where the text came from."""
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    """Whatever else the writer knew, such as the entropy of a generated text."""


def sidecar_path(path: Path) -> Path:
    """The sidecar of the token file at `path`: the same name, ending in `.json`."""
    return path.with_suffix(".json")


@dataclass(frozen=True)
class TokenHeader:
    """What the head of a token file says of its array."""

    dtype: np.dtype[np.integer[Any]]
    """Of the token ids, byte order included."""
    token_count: int
    """Length of the array."""
    offset: int
    """Where the array begins, in bytes from the start of the file."""


def read_header(path: Path) -> TokenHeader:
    """Read the head of the token file at `path`, and nothing of the ids.

    Raises:
        FileNotFoundError: there is no file at `path`.
        ValueError: it is no `.npy` file, is cut short or too long, or is not 1-D integers.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no token file at {path}; `prepare` writes one")
    try:
        shape, dtype, offset = _read_npy_head(path)
    except ValueError as error:
        raise ValueError(
            f"{path} is not a whole .npy file of numbers ({error}); write it again"
        ) from error
    if len(shape) != 1 or dtype.kind not in "iu":
        raise ValueError(
            f"{path} must hold a 1-D array of integers, got shape {shape} and dtype {dtype}"
        )
    expected, actual = offset + shape[0] * dtype.itemsize, path.stat().st_size
    if actual != expected:
        raise ValueError(
            f"{path} should have {expected} bytes for {shape[0]} token ids, it has {actual}; "
            "write it again"
        )
    return TokenHeader(dtype, shape[0], offset)


def _read_npy_head(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, dtype and where the array begins, by numpy's own reader."""
    with path.open("rb") as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):  # 3.0 is for field names in Unicode
            raise ValueError(f"version {version[0]}.{version[1]} of the format is not read here")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        return shape, dtype, file.tell()


def read_sidecar(path: Path) -> TokenFileInfo:
    """Read the sidecar at `path`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not JSON, not of this format and version, or a field is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no sidecar at {path}; it is written together with the token file, move both"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); write it again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not the sidecar of a token file: it lacks format {FORMAT!r}")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path} has version {content.get('version')!r} of {FORMAT}, this trainkit reads "
            f"version {VERSION}; update trainkit or write the file again"
        )
    return _info_from_json(content, path)


def read_infos(
    paths: Sequence[Path], headers: Sequence[TokenHeader], *, must_know: bool
) -> list[TokenFileInfo]:
    """The sidecars of token files; none of any where the first has none and nothing `must_know`.

    Raises:
        FileNotFoundError: one is missing.
        ValueError: one is damaged, or contradicts the array beside it.
    """
    if not must_know and not sidecar_path(paths[0]).exists():
        return []
    infos = [read_sidecar(sidecar_path(path)) for path in paths]
    for path, header, info in zip(paths, headers, infos, strict=True):
        said, found = (info.token_count, info.dtype), (header.token_count, header.dtype.name)
        if said != found:
            raise ValueError(
                f"the sidecar of {path} speaks of {said[0]} token ids of {said[1]}, the array holds"
                f" {found[0]} of {found[1]}; they are not a pair, write both again"
            )
    return infos


def joined_info(paths: Sequence[Path], infos: Sequence[TokenFileInfo]) -> TokenFileInfo | None:
    """What sidecars say of their files end to end; `extra` is the first's. None for none.

    Raises:
        ValueError: the files are not of one tokenizer.
    """
    if not infos:
        return None
    for path, info in zip(paths, infos, strict=True):
        if info.tokenizer_hash != infos[0].tokenizer_hash:
            raise ValueError(
                f"the files of a dataset must be of one tokenizer: {paths[0]} was made by"
                f" {infos[0].tokenizer_hash}, {path} by {info.tokenizer_hash}"
            )
    return replace(
        infos[0],
        token_count=sum(info.token_count for info in infos),
        byte_count=sum(info.byte_count for info in infos),
        document_count=sum(info.document_count for info in infos),
        vocab_size=max(info.vocab_size for info in infos),
        source=list(dict.fromkeys(name for info in infos for name in info.source)),
    )


def _info_from_json(content: dict[str, Any], path: Path) -> TokenFileInfo:
    names = TokenFileInfo.__dataclass_fields__
    required = {"dtype", "token_count", "byte_count", "document_count", "vocab_size"}
    missing = sorted((required | {"tokenizer_hash"}) - content.keys())
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; write the token file again")
    return TokenFileInfo(**{name: content[name] for name in names if name in content})
