"""Merging one byte string by ranks, to see by which merge a token comes about.

Used on files alone, each token once; texts are encoded in Rust.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

Pair = tuple[bytes, bytes]


def last_merge(token: bytes, rank: Callable[[bytes, bytes], int | None]) -> Pair | None:
    """The two parts that merging `token` ends with, the moment before they become one.

    `rank(left, right)` is that of a pair, None for no merge. The lowest goes first, the leftmost of
    several. None is returned where merging stops at more than two parts, or at two that don't
    merge. A heap over linked parts: n log n for n bytes, whatever a file holds.
    """
    parts = [token[at : at + 1] for at in range(len(token))]
    before, after = list(range(-1, len(parts) - 1)), list(range(1, len(parts) + 1))
    possible: list[tuple[int, int, bytes, bytes]] = []

    def consider(left: int) -> None:
        if left >= 0 and (right := after[left]) < len(parts):
            found = rank(parts[left], parts[right])
            if found is not None:
                heapq.heappush(possible, (found, left, parts[left], parts[right]))

    for at in range(len(parts)):
        consider(at)
    while possible:
        _, left, *pair = heapq.heappop(possible)
        right = after[left]
        # Stale where either side was merged since.
        if right >= len(parts) or [parts[left], parts[right]] != pair or not parts[left]:
            continue
        if len(pair[0]) + len(pair[1]) == len(token):
            return pair[0], pair[1]
        parts[left], parts[right] = pair[0] + pair[1], b""
        after[left] = after[right]
        if after[left] < len(parts):
            before[after[left]] = left
        consider(before[left])
        consider(left)
    return None


def is_text(token: bytes) -> bool:
    """Whether `token` could be a pretoken, which is always whole characters."""
    try:
        token.decode()
    except UnicodeDecodeError:
        return False
    return True
