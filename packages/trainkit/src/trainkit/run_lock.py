"""One process at a time in a run directory."""

import json
import os
import socket
from io import FileIO
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # pragma: no cover (Windows)
    fcntl = None

_NAME = "lock"


class RunLock:
    """Holds a run directory inside the block, against every other process on this machine.

    The lock is the kernel's, on an open file (`flock`): it ends with the process, however that
    ends, so that no run is locked by a dead one. On a system without `flock` it does nothing.

    Args:
        directory: of the run; made if it is not there.

    Attributes:
        path: of the lock's file. It stays; who holds the lock may remove it.

    Raises:
        BlockingIOError: another process holds it; the message names it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.path = directory, directory / _NAME
        self._file: FileIO | None = None

    def __enter__(self) -> "RunLock":
        while (file := self._lock()) is None:
            pass
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        self._file = file
        return self

    def _lock(self) -> FileIO | None:
        """The file, locked; None where its holder removed it just now."""
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            file = FileIO(self.path, "a+")
        except FileNotFoundError:
            return None
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise BlockingIOError(
                error.errno,
                f"the run is in use by {_holder(self.path)}; wait for it, stop it, or choose"
                f" another directory than {self.directory}",
            ) from None
        except BaseException:
            file.close()
            raise
        if _is_at(self.path, file):
            return file
        file.close()  # a lock on what is no more holds nobody off
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _is_at(path: Path, file: FileIO) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it is about to write its name
        return "another process"
