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

    Raises:
        BlockingIOError: another process holds it; the message names it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file: FileIO | None = None

    def __enter__(self) -> "RunLock":
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / _NAME
        file = FileIO(path, "a+")
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise BlockingIOError(
                error.errno,
                f"the run is in use by {_holder(path)}; wait for it, stop it, or choose another"
                f" directory than {self.directory}",
            ) from None
        except BaseException:
            file.close()
            raise
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The file stays: were it removed, another process could hold a lock on what is no more.
        if self._file is not None:
            self._file.close()
            self._file = None


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it is about to write its name
        return "another process"
