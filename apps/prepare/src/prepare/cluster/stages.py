"""What a task does in each stage: pure functions from its share, or others' files, to a file.

A task writes what it made first and its record last, each whole or not at all: where the record
is, the task is done, and a task that was killed is done again from its start.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

from prepare.cluster import counting, encoding
from prepare.cluster.folder import Folder
from prepare.cluster.plan import Plan
from prepare.cluster.task import Limits, Task, note_name, record_name

_WORK = {
    "count": counting.count,
    "merge": counting.merge,
    "learn": counting.learn,
    "encode": encoding.encode,
    "finish": encoding.finish,
}


def run_task(url: str, stage: str, rank: int, limits: Limits) -> None:
    """Does one task, unless it is done.

    Raises:
        ValueError: bad text, or files of another run; all is left as it was, but for a note.
        OSError: something can't be read or written.
    """
    folder = Folder(url)
    plan = Plan.load(folder)
    if folder.exists(record_name(stage, rank)):
        return
    with tempfile.TemporaryDirectory(prefix="prepare-") as directory:
        task = Task(folder, plan, stage, rank, limits, Path(directory))
        where, begun = {"host": socket.gethostname(), "process": os.getpid()}, time.time()
        folder.write_json(note_name("begun", stage, rank), where | {"time": begun}, task.scratch)
        folder.remove(note_name("failed", stage, rank))
        record = _WORK[stage.partition("-")[0]](task)
        record |= where | {"begun": begun, "ended": time.time()}
        folder.write_json(record_name(stage, rank), record, task.scratch)
    folder.remove(note_name("begun", stage, rank))
