"""Files that are either the old ones or the new ones, never half of one."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(*paths: Path) -> Generator[tuple[BinaryIO, ...], None, None]:
    """Opens one file for each path, to be written; at the end they take the paths' places.

    They are written beside their paths and forced to the disk, all of them, before the first is
    renamed. Any exception removes them and leaves what stood at the paths as it was. Old and new
    never stand side by side: of several files, the old ones but the first go before it is replaced.
    A process killed in this moment leaves a file missing, which every reader sees; give last the
    one that tells of the others.

    Raises:
        FileNotFoundError: a path's directory does not exist.
        IsADirectoryError: a path is a directory.
        ValueError: two paths are the same file.
        OSError: the disk is full, or anything else the system reports.
    """
    # A link stays a link: what it points to is replaced.
    targets = [Path(os.path.realpath(path)) for path in paths]
    if len(set(targets)) < len(targets):
        raise ValueError(f"each file needs a path of its own, got {[str(path) for path in paths]}")
    for target in targets:
        _check_target(target)
    temporaries = [t.with_name(f".{t.name}.{secrets.token_hex(4)}.tmp") for t in targets]
    try:
        with ExitStack() as stack:
            # Not tempfile: its files are readable by their owner alone, and stay so when renamed.
            files = tuple(stack.enter_context(path.open("x+b")) for path in temporaries)
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for target in targets[1:]:
            target.unlink(missing_ok=True)
        for temporary, target in zip(temporaries, targets, strict=True):
            temporary.replace(target)
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def write_bytes(*contents: tuple[Path, bytes]) -> None:
    """Writes whole files, all or none, as `replacing` does."""
    with replacing(*(path for path, _ in contents)) as files:
        for file, (_, data) in zip(files, contents, strict=True):
            file.write(data)


def _check_target(target: Path) -> None:
    if not target.parent.is_dir():
        message = "the directory to write into does not exist; create it first"
        raise FileNotFoundError(errno.ENOENT, message, str(target.parent))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a file was to be written here", str(target))
