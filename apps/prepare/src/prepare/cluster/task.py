"""A task, and the files by which it and the tasks of other stages know of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prepare.cluster.cut import Share
from prepare.cluster.documents import BadDocument
from prepare.cluster.folder import Folder
from prepare.cluster.plan import Plan

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Limits:
    """What a task may use; no result depends on it."""

    threads: int = 1
    max_memory_bytes: int | None = None
    """For counts of pretokens, before they go to disk."""


@dataclass(frozen=True)
class Task:
    """One task of a stage, and the directory of its own that it works in."""

    folder: Folder
    plan: Plan
    stage: str
    rank: int
    limits: Limits
    scratch: Path


Record = dict[str, Any]


def record_name(stage: str, rank: int) -> str:
    """The file that says that a task is done, and what came of it."""
    return f"cluster/{stage}/{rank:05}.json"


def counts_name(stage: str, rank: int) -> str:
    """The counts that a task of `count` or of a merge wrote."""
    return f"cluster/{stage}/{rank:05}.counts"


def note_name(kind: str, stage: str, rank: int) -> str:
    """What is known of a task that is not done: that it was `begun`, or why it `failed`."""
    return f"cluster/{stage}/{rank:05}.{kind}.json"


def text_record(share: Share, bad: Sequence[BadDocument]) -> Record:
    """What every task that reads text notes of its share."""
    size = sum(span.size for span in share)
    return {"bytes": size, "bad_documents": [asdict(document) for document in bad]}


def read_records(task: Task, stage: str, ranks: range) -> list[Record]:
    """The records of a stage.

    Raises:
        ValueError: some are missing.
    """
    there = task.folder.names(f"cluster/{stage}")
    if missing := [r for r in ranks if Path(record_name(stage, r)).name not in there]:
        raise ValueError(
            f"{len(missing)} of {len(ranks)} tasks of the stage {stage} are not done, the first is"
            f" task {missing[0]}: run the same command again, --status {task.folder.url} says why"
        )
    return [task.folder.read_json(record_name(stage, rank)) for rank in ranks]
