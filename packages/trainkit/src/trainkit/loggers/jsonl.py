"""Metrics as lines of JSON: the truth about a run."""

import errno
import json
import math
from collections.abc import Mapping
from pathlib import Path

from trainkit.atomic import replace_file, sync
from trainkit.disk_space import is_disk_full


class JsonlLogger:
    """One JSON object a line: `{"step": 10, "loss": 2.5, ...}`; null for NaN and infinities.

    A line is there as soon as it is logged, and one that ends in a newline is whole, whoever reads
    and whenever. What follows the last newline is not a line yet: a reader leaves it for later, as
    `read_run` does. Each line goes to the system as one write, its newline last, and most are seen
    whole or not at all; but a kernel may show readers the part of a write that it has done (ext4,
    tmpfs: of a line that crosses a page, 4 KiB), a full disk takes what fits until that is taken
    back, and a kill may leave it, until the next `rewind`.

    Args:
        path: the file, appended to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)

    def log(self, step: int, metrics: Mapping[str, object]) -> None:
        """Append a line.

        Raises:
            OSError: the disk is full; the file is as it was.
        """
        content = {"step": step, **{name: _in_json(value) for name, value in metrics.items()}}
        line = (json.dumps(content, allow_nan=False) + "\n").encode()
        end = self._file.tell()
        if self._write(line) != len(line):
            self._file.truncate(end)
            self._file.seek(end)
            raise OSError(
                errno.ENOSPC,
                f"a line of {len(line)} bytes does not fit on the disk; make room and resume",
                str(self.path),
            )

    def _write(self, line: bytes) -> int:
        """How much was written: a full disk takes what still fits, and nothing the next time."""
        try:
            return self._file.write(line)
        except OSError as error:
            if is_disk_full(error):
                return 0
            raise

    def rewind(self, step: int) -> None:
        """Drop the lines of later steps than `step`, and a torn last one; atomically."""
        self._file.close()
        kept = [line for line in self.path.read_bytes().splitlines(True) if _is_kept(line, step)]
        with replace_file(self.path) as file:
            file.write(b"".join(kept))
        self._file = self.path.open("ab", buffering=0)

    def sync(self) -> None:
        """Wait until every line is on the disk."""
        sync(self._file)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _in_json(value: object) -> object:
    """`value`, or None for a number that JSON has not: many a reader refuses Python's `NaN`."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_kept(line: bytes, step: int) -> bool:
    return line.endswith(b"\n") and json.loads(line)["step"] <= step
