"""Files and directories that appear whole or not at all.

The recipe is POSIX's: write beside the target, fsync, rename over it, fsync the directory. A kill
or a full disk at any moment leaves the old content or the new, never half of one.
"""

import os
import secrets
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import BufferedWriter, IOBase
from pathlib import Path

_STAGING = ".staging-"
_RETIRED = ".retired"


@contextmanager
def replace_file(path: Path) -> Generator[BufferedWriter]:
    """Give a file to write; at the end of the block it takes the place of the one at `path`.

    An exception inside the block, or from the disk, removes the new file and leaves the old one.
    A link stays a link: what it points to is replaced.
    """
    path = Path(os.path.realpath(path))
    staging = _staging_path(path)
    try:
        with staging.open("xb") as file:
            yield file
            sync(file)
        os.replace(staging, path)
        sync_directory(path.parent)
    except BaseException:
        with suppress(OSError):  # the error on its way is the one to see
            staging.unlink(missing_ok=True)
        raise


@contextmanager
def replace_directory(path: Path) -> Generator[Path]:
    """Give an empty directory to fill; at the end of the block it takes the place of `path`.

    The directory that holds `path` must have no other writer. A directory cannot be renamed over
    a full one, so an old `path` steps aside for a moment: see `current_directory` and `settle`.
    """
    staging = _staging_path(path)
    staging.mkdir(parents=True)
    try:
        yield staging
        for path_inside in staging.iterdir():
            with path_inside.open("rb+") as file:
                sync(file)
        sync_directory(staging)
        if path.exists():
            os.replace(path, _retired_path(path))
        os.replace(staging, path)
        sync_directory(path.parent)
    finally:
        settle(path.parent)


def remove_directory(path: Path) -> None:
    """Remove the directory at `path`; a kill leaves it whole or gone."""
    staging = _staging_path(path)
    os.replace(path, staging)
    shutil.rmtree(staging, ignore_errors=True)


def current_directory(path: Path) -> Path:
    """Where the content of `path` is: a writer killed while replacing it left it aside."""
    retired = _retired_path(path)
    return retired if retired.exists() and not path.exists() else path


def settle(directory: Path) -> None:
    """Bring `directory` into order after a killed or failed writer; no other may be at work."""
    for retired in directory.glob(f"*{_RETIRED}"):
        path = retired.with_name(retired.name.removesuffix(_RETIRED))
        if path.exists():
            shutil.rmtree(retired, ignore_errors=True)
        else:
            os.replace(retired, path)
    for staging in directory.glob(f"*{_STAGING}*"):
        if staging.is_dir():
            shutil.rmtree(staging, ignore_errors=True)
        else:
            staging.unlink(missing_ok=True)


def sync(file: IOBase) -> None:
    """Wait until what was written to `file` is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Wait until the names in the directory at `path` are on the disk."""
    if sys.platform == "win32":  # which cannot open a directory
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _staging_path(path: Path) -> Path:
    """A new name beside `path`, on the same file system, so that renaming is atomic."""
    return path.with_name(f"{path.name}{_STAGING}{secrets.token_hex(4)}")


def _retired_path(path: Path) -> Path:
    return path.with_name(path.name + _RETIRED)
