"""Token files: token ids in a `.npy` file, and a `.json` sidecar that says what they are.

`train.npy` is one 1-D array of integers (uint16 below 65,536 ids, else uint32); `train.json`
beside it names the tokenizer by its hash and counts tokens, bytes and documents.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def map_tokens(path: Path) -> NDArray[np.integer[Any]]:
    """Map the array at `path` into memory without reading it.

    Returns:
        `(token_count,)`, read-only, of the file's own integer dtype.

    Raises:
        FileNotFoundError: there is no file at `path`.
        ValueError: it is no `.npy` file, is cut short or too long, or is not 1-D integers.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no token file at {path}; `prepare` writes one")
    try:
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{path} is not a whole .npy file of numbers ({error}); write it again"
        ) from error
    if not isinstance(tokens, np.memmap):
        raise ValueError(f"{path} must hold one .npy array, it is an archive of several")
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise ValueError(
            f"{path} must hold a 1-D array of integers, "
            f"got shape {tokens.shape} and dtype {tokens.dtype}"
        )
    expected, actual = tokens.offset + tokens.nbytes, path.stat().st_size
    if actual != expected:
        raise ValueError(
            f"{path} should have {expected} bytes for {len(tokens)} token ids, it has {actual}; "
            "write it again"
        )
    return tokens


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


def check_sidecar(path: Path, tokens: NDArray[np.integer[Any]], info: TokenFileInfo) -> None:
    """Raise ValueError where the sidecar and the array at `path` contradict each other."""
    said, found = (info.token_count, np.dtype(info.dtype)), (len(tokens), tokens.dtype)
    if said != found:
        raise ValueError(
            f"the sidecar of {path} speaks of {said[0]} token ids of {said[1]}, the array holds "
            f"{found[0]} of {found[1]}; they are not a pair, write both again"
        )


def _info_from_json(content: dict[str, Any], path: Path) -> TokenFileInfo:
    names = TokenFileInfo.__dataclass_fields__
    required = {"dtype", "token_count", "byte_count", "document_count", "vocab_size"}
    missing = sorted((required | {"tokenizer_hash"}) - content.keys())
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; write the token file again")
    return TokenFileInfo(**{name: content[name] for name in names if name in content})
