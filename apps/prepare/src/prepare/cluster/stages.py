"""What a task does in each stage: pure functions from its share, or others' files, to a file.

A task writes what it made first and its record last, each whole or not at all: where the record
is, the task is done, and a task that was killed is done again from its start.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

from bpe_rs import PretokenCounts
from tok import TokenFileInfo, Tokenizer
from tok.atomic import replacing
from tok.token_file import TokenWriter, sidecar_path

from prepare.cluster.cut import Share
from prepare.cluster.documents import BadDocument
from prepare.cluster.folder import Folder
from prepare.cluster.plan import FAN_IN, Plan
from prepare.cluster.text import ShareText, Sources, known_bad

TOKENIZER, MANIFEST = "tokenizer.json", "manifest.json"
PARTS = ("train", "valid")


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


def _count(task: Task) -> Record:
    settings, share = task.plan.settings, task.plan.train[task.rank]

    def count(text: Sources) -> PretokenCounts:
        return PretokenCounts.count(
            text.paths,
            settings.special_tokens,
            max_memory_bytes=task.limits.max_memory_bytes,
            num_threads=task.limits.threads,
            spans=text.spans,
        )

    counts, bad = ShareText(share, settings, task.scratch).read(count)
    with task.folder.making(counts_name(task.stage, task.rank), task.scratch) as path:
        counts.save(path)
    return _text_record(share, bad)


def _merge(task: Task) -> Record:
    before = task.plan.stage_before(task.stage)
    first = task.rank * FAN_IN
    ranks = range(first, min(first + FAN_IN, before.tasks))
    with task.folder.making(counts_name(task.stage, task.rank), task.scratch) as path:
        _merge_counts(task, before.name, ranks, path)
    return {}


def _learn(task: Task) -> Record:
    settings, before = task.plan.settings, task.plan.stage_before(task.stage)
    merged = task.scratch / "merged"
    _merge_counts(task, before.name, range(before.tasks), merged, settings.min_count)
    tokenizer = Tokenizer.train(
        PretokenCounts.load(merged),
        settings.vocab_size,
        settings.special_tokens,
        min_count=settings.min_count,
        num_threads=task.limits.threads,
    )
    with task.folder.making(TOKENIZER, task.scratch) as path:
        tokenizer.save(path)
    return {
        "vocab_size": len(tokenizer),
        "merges": len(tokenizer.merges),
        "tokenizer_hash": tokenizer.fingerprint,
    }


def _encode(task: Task) -> Record:
    is_train = task.rank < len(task.plan.train)
    number = task.rank if is_train else task.rank - len(task.plan.train)
    share = task.plan.parts[0 if is_train else 1][number]
    name = f"{PARTS[0 if is_train else 1]}-{number:05}.npy"
    tokenizer = _tokenizer(task)
    extra = {} if is_train else task.plan.valid_extra
    text = ShareText(share, task.plan.settings, task.scratch)
    counted = known_bad(_records(task, "count", range(number, number + 1))[0]) if is_train else None
    hashes: list[Future[str]] = []
    with task.folder.making(name, task.scratch) as output, ThreadPoolExecutor(1) as other:

        def encode(text: Sources) -> TokenFileInfo:
            if text.is_empty:
                return _write_nothing(tokenizer, output)
            return tokenizer.encode_file(
                text.paths,
                output,
                extra=extra,
                num_threads=task.limits.threads,
                spans=text.spans,
                # 1.9 GB/s: 5 to 8 % of the work, and as long as the wait for the disk.
                before_sync=lambda path: hashes.append(other.submit(_sha256, path.open("rb"))),
            )

        info, bad = text.read(encode, counted)
        sha256 = hashes[-1].result() if hashes else _sha256(output.open("rb"))
        shard = {"name": name, "sha256": sha256, **_summary(info)}
    made = {"tokenizer_hash": tokenizer.fingerprint, "shard": shard}
    return _text_record(share, bad) | made


def _finish(task: Task) -> Record:
    """Writes the manifest: all token files in order, and what was left out of them."""
    for directory in ("", *(f"cluster/{stage.name}" for stage in task.plan.stages)):
        task.folder.remove_temporary(directory)
    records = _records(task, "encode", range(task.plan.stage_before(task.stage).tasks))
    tokenizer_hash = _tokenizer(task).fingerprint
    for rank, record in enumerate(records):
        if record["tokenizer_hash"] != tokenizer_hash:
            raise ValueError(
                f"{task.folder.url}: {record['shard']['name']} was made by another tokenizer than"
                f" {TOKENIZER} there: remove {record_name('encode', rank)} and run again"
            )
    shards = [record["shard"] for record in records]
    border = len(task.plan.train)
    parts = dict(zip(PARTS, (shards[:border], shards[border:]), strict=True))
    manifest = {
        "format": "groundup-prepare-manifest",
        "version": 1,
        "fingerprint": task.plan.settings.fingerprint,
        "tokenizer_hash": tokenizer_hash,
        "bad_documents": [bad for record in records for bad in record["bad_documents"]],
        **{part: _totals(shards) for part, shards in parts.items()},
    }
    task.folder.write_json(MANIFEST, manifest, task.scratch)
    return {}


_WORK = {
    "count": _count,
    "merge": _merge,
    "learn": _learn,
    "encode": _encode,
    "finish": _finish,
}


def _text_record(share: Share, bad: list[BadDocument]) -> Record:
    size = sum(span.size for span in share)
    return {"bytes": size, "bad_documents": [asdict(document) for document in bad]}


def _merge_counts(task: Task, stage: str, ranks: range, output: Path, min_count: int = 1) -> None:
    """Writes the sum of counts that tasks of a stage wrote, without what is rarer."""
    _records(task, stage, ranks)
    names = [counts_name(stage, rank) for rank in ranks]
    paths = [task.folder.local_copy(name, task.scratch) for name in names]
    PretokenCounts.merge_files(paths, output, min_count=min_count)


def _records(task: Task, stage: str, ranks: range) -> list[Record]:
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


def _tokenizer(task: Task) -> Tokenizer:
    [record] = _records(task, "learn", range(1))
    tokenizer = _load_tokenizer(task.folder.local_copy(TOKENIZER, task.scratch).read_bytes())
    if tokenizer.fingerprint != record["tokenizer_hash"]:
        raise ValueError(
            f"{task.folder.url}/{TOKENIZER} is not the one that this run learned; remove"
            f" {record_name('learn', 0)} and run again to have it back"
        )
    return tokenizer


@lru_cache(maxsize=1)
def _load_tokenizer(content: bytes) -> Tokenizer:
    """The tokenizer of such a file; the same one for the next task, with all that it remembers.

    To load it takes 130 ms, and a share of 32 MB is encoded in 250 ms by one that knows nothing
    yet, in 120 ms by one that has encoded another share.
    """
    with tempfile.TemporaryDirectory(prefix="prepare-") as scratch:
        path = Path(scratch) / TOKENIZER
        path.write_bytes(content)
        return Tokenizer.load(path)


def _write_nothing(tokenizer: Tokenizer, output: Path) -> TokenFileInfo:
    """A token file without ids: shards are numbered without gaps, and nothing was left of this."""
    vocab_size = tokenizer.max_token_id + 1
    info = TokenFileInfo(tokenizer.dtype.name, 0, 0, 0, vocab_size, tokenizer.fingerprint, ())
    with replacing(output, sidecar_path(output)) as (ids_file, sidecar_file):
        TokenWriter(ids_file, tokenizer.dtype, None).finish()
        sidecar_file.write(info.to_json().encode())
    return info


def _summary(info: TokenFileInfo) -> Record:
    names = ("token_count", "byte_count", "document_count")
    return {name: getattr(info, name) for name in names}


def _totals(shards: list[Record]) -> Record:
    names = ("token_count", "byte_count", "document_count")
    return {name: sum(shard[name] for shard in shards) for name in names} | {"shards": shards}


def _sha256(opened: BufferedReader) -> str:
    with opened as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
