"""Where in a text its tokens stand."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Unit = Literal["character", "byte"]


def token_spans(text: str, lengths: NDArray[np.int64], unit: Unit) -> list[tuple[int, int]]:
    """Start and end of each token, by the `lengths` of the tokens in bytes.

    A token may begin or end inside a character: then its characters are all those that it has a
    byte of, and two tokens' spans may overlap.
    """
    if unit not in ("character", "byte"):
        raise ValueError(f'unit must be "character" or "byte", got {unit!r}')
    ends = np.cumsum(lengths)
    starts = ends - lengths
    if unit == "character" and not text.isascii():
        begun = _characters_begun(text.encode())
        # The character of the first byte, and that of the last, each of which has begun by then.
        starts, ends = begun[starts + (lengths > 0)] - (lengths > 0), begun[ends]
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _characters_begun(encoded: bytes) -> NDArray[np.int64]:
    """How many characters begin in the first n bytes, for n from 0 to all of them."""
    raw: NDArray[Any] = np.frombuffer(encoded, np.uint8)
    begun = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum((raw & 0xC0) != 0x80, out=begun[1:])  # continuation bytes are 10xxxxxx
    return begun
