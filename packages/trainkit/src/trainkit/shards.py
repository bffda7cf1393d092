"""Many `.npy` files of token ids as one long sequence, of which only what is read is in memory."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainkit.token_file import TokenHeader, read_header

# Each mapping keeps a file descriptor, of which a process has 1,024 by default; mapping a file anew
# takes some 50 us.
_MAPPED_AT_ONCE = 256


class Shards:
    """Token files end to end: position `i` lies in the file where the sum of lengths passes `i`.

    Opening reads 128 bytes of each file. A file is mapped when something in it is asked for, and
    unmapped when 256 others have been since: a terabyte opens at once and holds no memory.

    Args:
        paths: the files, in order; at least one.

    Attributes:
        paths: the files.
        headers: what each says it holds.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or holds another dtype than the first.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.headers = [read_header(path) for path in self.paths]
        for path, header in zip(self.paths, self.headers, strict=True):
            if header.dtype != self.dtype:
                raise ValueError(
                    f"the files of a dataset must be of one dtype: {self.paths[0]} holds"
                    f" {self.dtype}, {path} holds {header.dtype}"
                )
        self._ends = np.cumsum([header.token_count for header in self.headers])
        self.map = lru_cache(maxsize=_MAPPED_AT_ONCE)(self._map)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def dtype(self) -> np.dtype[np.integer[Any]]:
        """Of the ids, as on the disk."""
        return self.headers[0].dtype

    def windows(self, starts: NDArray[np.int64], length: int) -> NDArray[np.integer[Any]]:
        """`(len(starts), length)`: the ids from each of `starts` on, across borders of files."""
        rows = np.empty((len(starts), length), self.dtype)
        for row, start in zip(rows, starts.tolist(), strict=True):
            self._read(start, row)
        return rows

    def _read(self, start: int, out: NDArray[np.integer[Any]]) -> None:
        """Fill `out` with the ids from `start` on."""
        index, done = int(np.searchsorted(self._ends, start, side="right")), 0
        while done < len(out):
            tokens = self.map(index)
            begin = start + done - (int(self._ends[index]) - len(tokens))
            part = tokens[begin : begin + len(out) - done]
            out[done : done + len(part)] = part
            index, done = index + 1, done + len(part)

    def _map(self, index: int) -> NDArray[np.integer[Any]]:
        """The ids of file `index`, mapped; `map` remembers."""
        return _map_file(self.paths[index], self.headers[index])


def _map_file(path: Path, header: TokenHeader) -> NDArray[np.integer[Any]]:
    if not header.token_count:  # nothing can't be mapped
        return np.empty(0, header.dtype)
    return np.memmap(path, header.dtype, "r", header.offset, header.token_count)


def find_shards(path: Path) -> list[Path]:
    """`path`, or where there is no such file the shards `NAME-00000.npy`, `NAME-00001.npy`, ...

    Raises:
        FileNotFoundError: neither is there, or a shard between two others is missing.
    """
    shards = sorted(path.parent.glob(f"{path.stem}-[0-9][0-9][0-9][0-9][0-9]{path.suffix}"))
    if path.exists() or not shards:
        return [path]
    for number, shard in enumerate(shards):
        expected = path.with_name(f"{path.stem}-{number:05}{path.suffix}")
        if shard != expected:
            raise FileNotFoundError(f"{expected} is missing, there are shards up to {shards[-1]}")
    return shards
