"""Tasks in a process of their own, which ends with the one that asked for them.

A pool's worker that is killed leaves datatrove's local engine waiting for ever, and what is killed
when memory runs out is the largest process. That is this one; its parent lives to tell. It does the
tasks of one stage that its parent is given, one after the other: starting Python and importing all
of this takes a third of a second, and the tokenizer of the task before remembers pretokens.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from prepare.cluster.stages import run_task
from prepare.cluster.task import Limits

MAX_REASON = 2_000


def run_child(url: str, stage: str, rank: int, limits: Limits) -> str | None:
    """Does a task in the other process; returns why it failed, None if it did not."""
    global _child
    if _child is not None and not _child.serves(url, stage):
        end_child()
    if _child is None:
        _child = _Child(url, stage)
    reason = _child.run(rank, limits)
    if not _child.serves(url, stage):
        end_child()
    return reason


def end_child() -> None:
    """Ends the other process. One that is forked from here later would keep it from ending."""
    global _child
    if _child is not None:
        _child.close()
    _child = None


class _Child:
    """A process that does tasks of one stage, seen from its parent."""

    def __init__(self, url: str, stage: str) -> None:
        self._url, self._stage = url, stage
        self._scratch = tempfile.TemporaryDirectory(prefix="prepare-", ignore_cleanup_errors=True)
        self._errors = (Path(self._scratch.name) / "errors").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "prepare.cluster.child", self._scratch.name],
            env=os.environ | {"TMPDIR": self._scratch.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def serves(self, url: str, stage: str) -> bool:
        """Whether it lives and does tasks of this stage."""
        return (self._url, self._stage) == (url, stage) and self._process.poll() is None

    def run(self, rank: int, limits: Limits) -> str | None:
        """Does a task; returns why it failed, None if it did not."""
        asked, answers = _pipes(self._process)
        task = {"url": self._url, "stage": self._stage, "rank": rank, **asdict(limits)}
        try:
            asked.write(json.dumps(task).encode() + b"\n")
            asked.flush()
            answer = answers.readline()
        except BrokenPipeError:
            answer = b""
        return json.loads(answer)["reason"] if answer else self._why_it_ended()

    def _why_it_ended(self) -> str:
        code = self._process.wait()
        if code < 0:
            name = signal.Signals(-code).name
            return f"was killed by {name}; if memory ran out, give more of it or cut more tasks"
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace").strip()
        return errors[-MAX_REASON:] or f"exited with {code}"

    def close(self) -> None:
        """Ends it."""
        for pipe in _pipes(self._process):
            pipe.close()
        self._process.wait()
        self._errors.close()
        self._scratch.cleanup()


_child: _Child | None = None
atexit.register(end_child)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def main(scratch: str) -> None:
    """Does the tasks that are asked for on stdin; `scratch` is removed at its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and this one ends
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks, scratch), daemon=True).start()
    # Whatever a library prints goes to stderr: stdout is for answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        reason = _do(json.loads(tasks.get()))
        answers.write(json.dumps({"reason": reason}).encode() + b"\n")
        answers.flush()


def _listen(tasks: queue.SimpleQueue[bytes], scratch: str) -> None:
    """Passes on what is asked for; the end of stdin is the end of the parent, and of this."""
    for line in sys.stdin.buffer:
        tasks.put(line)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


def _do(task: dict[str, Any]) -> str | None:
    try:
        limits = Limits(task["threads"], task["max_memory_bytes"])
        run_task(task["url"], task["stage"], task["rank"], limits)
    except (ValueError, OSError) as error:
        return str(error)[-MAX_REASON:] or repr(error)
    except Exception:
        return traceback.format_exc()[-MAX_REASON:].strip()
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
