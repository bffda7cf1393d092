"""Where in a text its tokens stand."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Unit = Literal["character", "byte"]


def token_spans(text: str, ends: NDArray[np.int64], unit: Unit) -> list[tuple[int, int]]:
    """Start and end of each token, by the byte at which each ends and the next begins.

    A token may begin or end inside a character: then its characters are all those that it has a
    byte of, and two tokens' spans may overlap.
    """
    if unit not in ("character", "byte"):
        raise ValueError(f'unit must be "character" or "byte", got {unit!r}')
    starts = np.zeros_like(ends)
    starts[1:] = ends[:-1]
    if unit == "character" and not text.isascii():
        begun = _characters_begun(text.encode())
        # The character of the first byte, and that of the last, each of which has begun by then.
        starts, ends = begun[starts + 1] - 1, begun[ends]
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _characters_begun(encoded: bytes) -> NDArray[np.int64]:
    """How many characters begin in the first n bytes, for n from 0 to all of them."""
    raw: NDArray[Any] = np.frombuffer(encoded, np.uint8)
    begun = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum((raw & 0xC0) != 0x80, out=begun[1:])  # continuation bytes are 10xxxxxx
    return begun
