"""A task in a process of its own, which ends with the one that asked for it.

A pool's worker that is killed leaves datatrove's local engine waiting for ever, and what is killed
when memory runs out is the largest process. That is this one; its parent lives to tell.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tyro

from prepare.cluster.stages import Limits, run_task

MAX_REASON = 2_000


def run_child(url: str, stage: str, rank: int, limits: Limits) -> str | None:
    """Does a task in a new process; returns why it failed, None if it did not."""
    with tempfile.TemporaryDirectory(prefix="prepare-") as scratch:
        errors, code = _run(url=url, stage=stage, rank=rank, scratch=scratch, **asdict(limits))
    if code == 0:
        return None
    if code < 0:
        name = signal.Signals(-code).name
        return f"was killed by {name}; if memory ran out, give more of it or cut more tasks"
    return errors.strip()[-MAX_REASON:] or f"exited with {code}"


def _run(**arguments: Any) -> tuple[str, int]:
    """What a child wrote to its stderr, and how it ended."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    # Nothing is ever written to its stdin: the end of it is the end of this process.
    with subprocess.Popen(
        [sys.executable, "-m", "prepare.cluster.child", *flags],
        env=os.environ | {"TMPDIR": arguments["scratch"]},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as child:
        assert child.stderr is not None
        errors = child.stderr.read()
    return errors, child.returncode


def _end_with_parent(scratch: Path) -> None:
    sys.stdin.buffer.read()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def main(
    url: str, stage: str, rank: int, scratch: Path, threads: int, max_memory_bytes: int | None
) -> None:
    """Does one task of the run in the folder `url`; `scratch` is removed if the parent dies."""
    threading.Thread(target=_end_with_parent, args=(scratch,), daemon=True).start()
    try:
        run_task(url, stage, rank, Limits(threads, max_memory_bytes))
        code = 0
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        code = 1
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)  # at its usual end the interpreter waits for the thread that reads stdin


if __name__ == "__main__":
    tyro.cli(main)
