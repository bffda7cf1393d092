"""How far a run is: what is done, what failed and why, and how long the rest will take."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prepare.cluster.folder import Folder
from prepare.cluster.plan import Plan, Stage
from prepare.cluster.task import note_name, record_name

BAD_TOLD = 5
"""So many bad documents are named; the manifest and the tasks' records have all."""


@dataclass(frozen=True)
class StageStatus:
    """How far a stage is."""

    stage: Stage
    done: tuple[Mapping[str, Any], ...]
    """Records of the tasks that are done."""
    failed: Mapping[int, str]
    """By task, why."""
    begun: Mapping[int, Mapping[str, Any]]
    """By task, of those that are neither: where and when it began."""

    @property
    def done_bytes(self) -> int:
        """Bytes of text that its tasks have done."""
        return sum(record.get("bytes", 0) for record in self.done)

    @property
    def is_done(self) -> bool:
        """Whether all its tasks are."""
        return len(self.done) == self.stage.tasks

    @property
    def rate(self) -> float | None:
        """Bytes a second since its first task began; None where that is not known."""
        if not self.done_bytes:
            return None
        seconds = max(r["ended"] for r in self.done) - min(r["begun"] for r in self.done)
        return self.done_bytes / max(seconds, 1e-3)

    def line(self) -> str:
        """One line of it."""
        counts = f"{len(self.done)} of {self.stage.tasks} tasks done"
        failed = f", {len(self.failed)} failed" if self.failed else ""
        begun = f", {len(self.begun)} begun" if self.begun else ""
        return f"{self.stage.name:<12}{counts}{failed}{begun}"


@dataclass(frozen=True)
class Status:
    """How far a run is."""

    stages: tuple[StageStatus, ...]

    @property
    def is_done(self) -> bool:
        """Whether all of it is done."""
        return all(stage.is_done for stage in self.stages)

    @property
    def bad_documents(self) -> list[Mapping[str, Any]]:
        """Those left out so far, each once, by file and place."""
        found = (bad for s in self.stages for r in s.done for bad in r.get("bad_documents", ()))
        return list({(bad["file"], bad["byte"]): bad for bad in found}.values())

    @property
    def seconds_left(self) -> float | None:
        """An estimate: text that is left at the rate of its stage, or of the last one with a rate.

        Stages that read no text (merge, learn, finish) are not in it. None before the first task
        is done.
        """
        rate: float | None = None
        left = 0.0
        for status in self.stages:
            rate = status.rate or rate
            todo = status.stage.bytes - status.done_bytes
            if todo and rate is None:
                return None
            left += todo / rate if rate else 0.0
        return left

    def lines(self) -> list[str]:
        """What a person should read."""
        lines = [stage.line() for stage in self.stages]
        for status in self.stages:
            name = status.stage.name
            lines += [f"failed      {name} {rank}: {why}" for rank, why in status.failed.items()]
            lines += [f"begun       {name} {rank}: {_where(n)}" for rank, n in status.begun.items()]
        lines += self._bad_lines()
        if not self.is_done and self.seconds_left is not None:
            lines.append(f"left        about {_duration(self.seconds_left)} at the rate so far")
        return lines

    def _bad_lines(self) -> list[str]:
        bad = self.bad_documents
        lines = [
            f"left out    {b['file']}, byte {b['byte']:,}: {b['reason']}" for b in bad[:BAD_TOLD]
        ]
        more = len(bad) - BAD_TOLD
        return (
            [*lines, f"left out    {more:,} more; all are in the manifest"] if more > 0 else lines
        )


def read_status(url: str) -> Status:
    """Looks at the run in a folder.

    Raises:
        FileNotFoundError: it holds none.
        ValueError: the run is of another version of this program.
    """
    folder = Folder(url)
    return Status(tuple(_stage_status(folder, stage) for stage in Plan.load(folder).stages))


def _stage_status(folder: Folder, stage: Stage) -> StageStatus:
    there = folder.names(f"cluster/{stage.name}")
    ranks = range(stage.tasks)
    done = [r for r in ranks if _name(record_name(stage.name, r)) in there]
    rest = sorted(set(ranks) - set(done))

    def notes(kind: str) -> dict[int, dict[str, Any]]:
        names = {rank: note_name(kind, stage.name, rank) for rank in rest}
        return {r: folder.read_json(n) for r, n in names.items() if _name(n) in there}

    failed = {rank: str(note["reason"]) for rank, note in notes("failed").items()}
    return StageStatus(
        stage,
        tuple(folder.read_json(record_name(stage.name, rank)) for rank in done),
        failed,
        {rank: note for rank, note in notes("begun").items() if rank not in failed},
    )


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _where(note: Mapping[str, Any]) -> str:
    """Where a task began, and whether it lives, as far as this machine can tell."""
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(note["time"]))
    where = f"process {note['process']} on {note['host']} since {begun}"
    if note["host"] == socket.gethostname() and not _is_alive(note["process"]):
        return f"{where}, no longer there: it was killed"
    return where


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "a minute"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
