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
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bpe_rs import PretokenCounts
from tok import TokenFileInfo, Tokenizer
from tok.token_file import TokenWriter, sidecar_path

from prepare.cluster.cut import ROWS, Share, Span, content_name, document_end, is_gzip
from prepare.cluster.documents import BadDocument, copy_documents, row_problem, text_problem
from prepare.cluster.folder import Folder, file_system
from prepare.cluster.plan import FAN_IN, Plan, check_unchanged, open_file

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
        begun = {"host": socket.gethostname(), "process": os.getpid(), "time": time.time()}
        folder.write_json(note_name("begun", stage, rank), begun, task.scratch)
        folder.remove(note_name("failed", stage, rank))
        record = _WORK[stage.partition("-")[0]](task)
        ended = {"begun": begun["time"], "ended": time.time()}
        folder.write_json(record_name(stage, rank), record | ended, task.scratch)
    folder.remove(note_name("begun", stage, rank))


def _count(task: Task) -> Record:
    settings, share = task.plan.settings, task.plan.train[task.rank]
    text = _Text.of(task, share)
    with text.named():
        counts = PretokenCounts.count(
            text.paths,
            settings.special_tokens,
            max_memory_bytes=task.limits.max_memory_bytes,
            num_threads=task.limits.threads,
        )
    _publish_counts(task, counts)
    return text.record()


def _merge(task: Task) -> Record:
    before = task.plan.stage_before(task.stage)
    first = task.rank * FAN_IN
    ranks = range(first, min(first + FAN_IN, before.tasks))
    _publish_counts(task, _merged(task, before.name, ranks))
    return {}


def _learn(task: Task) -> Record:
    settings, before = task.plan.settings, task.plan.stage_before(task.stage)
    counts = _merged(task, before.name, range(before.tasks))
    tokenizer = Tokenizer.train(
        counts,
        settings.vocab_size,
        settings.special_tokens,
        num_threads=task.limits.threads,
    )
    path = task.scratch / TOKENIZER
    tokenizer.save(path)
    task.folder.publish(path, TOKENIZER)
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
    text = _Text.of(task, share)
    output = task.scratch / name
    extra = {} if is_train else task.plan.valid_extra
    if text.is_empty:
        info = _write_nothing(tokenizer, output)
    else:
        with text.named():
            info = tokenizer.encode_file(
                text.paths, output, extra=extra, num_threads=task.limits.threads
            )
    for path in (output, sidecar_path(output)):
        task.folder.publish(path, path.name)
    shard = {"name": name, "sha256": _sha256(output), **_summary(info)}
    return text.record() | {"tokenizer_hash": tokenizer.fingerprint, "shard": shard}


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


@dataclass(frozen=True)
class _Text:
    """A share's good documents, as local files."""

    share: Share
    paths: list[Path]
    """As many as the share has spans."""
    bad: list[BadDocument]

    @classmethod
    def of(cls, task: Task, share: Share) -> _Text:
        """Copies a share.

        Raises:
            ValueError: a document is bad, and that was to be an error.
        """
        bad: list[BadDocument] = []
        paths: list[Path] = []
        for number, span in enumerate(share):
            directory = task.scratch / f"text-{number:05}"
            directory.mkdir()
            for document in _copy(task, span, directory / content_name(span.file.path)):
                if task.plan.settings.bad_documents == "fail":
                    raise ValueError(f"{document}; --bad-documents skip would leave it out")
                bad.append(document)
            paths += directory.iterdir()
        return cls(share, paths, bad)

    @property
    def is_empty(self) -> bool:
        return not any(path.stat().st_size for path in self.paths)

    @contextmanager
    def named(self) -> Generator[None, None, None]:
        """Has errors about the copies name the files that they are of."""
        try:
            yield
        except ValueError as error:
            message = str(error)
            for path, span in zip(self.paths, self.share, strict=True):
                message = message.replace(str(path), span.file.path)
            raise ValueError(message) from error

    def record(self) -> Record:
        size = sum(span.size for span in self.share)
        return {"bytes": size, "bad_documents": [asdict(document) for document in self.bad]}


def _copy(task: Task, span: Span, target: Path) -> Iterator[BadDocument]:
    """Copies the good documents of a span into a local file."""
    settings, file = task.plan.settings, span.file
    end = document_end(file.path, settings.special_tokens)
    if end is None:  # it can't be taken apart: bpe-rs looks at it as a whole
        check_unchanged(file)
        system, name = file_system(file.path)
        system.get_file(name, str(target.with_name(Path(file.path).name)))
        return
    is_rows = target.suffix.lower() in ROWS
    with open_file(file) as whole, target.open("wb") as writer:
        source = whole if is_gzip(file.path) else _Window(whole, span.start, span.stop)
        yield from copy_documents(
            source,
            writer,
            end=end,
            problem=row_problem if is_rows else text_problem,
            max_document_bytes=settings.max_document_bytes,
            file=file.path,
            start=span.start,
        )


class _Window:
    """Some bytes of a file, read like one."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self._file, self._left = file, stop - start
        file.seek(start)

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


def _publish_counts(task: Task, counts: PretokenCounts) -> None:
    path = task.scratch / "counts"
    counts.save(path)
    task.folder.publish(path, counts_name(task.stage, task.rank))


def _merged(task: Task, stage: str, ranks: range) -> PretokenCounts:
    """The sum of counts that tasks of a stage wrote."""
    _records(task, stage, ranks)
    merged = PretokenCounts(task.plan.settings.special_tokens)
    for rank in ranks:
        path = task.folder.fetch(counts_name(stage, rank), task.scratch / "fetched")
        merged.merge(PretokenCounts.load(path))
        path.unlink()
    return merged


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
    tokenizer = Tokenizer.load(task.folder.fetch(TOKENIZER, task.scratch / TOKENIZER))
    if tokenizer.fingerprint != record["tokenizer_hash"]:
        raise ValueError(
            f"{task.folder.url}/{TOKENIZER} is not the one that this run learned; remove"
            f" {record_name('learn', 0)} and run again to have it back"
        )
    return tokenizer


def _write_nothing(tokenizer: Tokenizer, output: Path) -> TokenFileInfo:
    """A token file without ids: shards are numbered without gaps, and nothing was left of this."""
    with output.open("wb") as file:
        TokenWriter(file, tokenizer.dtype, None).finish()
    vocab_size = tokenizer.max_token_id + 1
    info = TokenFileInfo(tokenizer.dtype.name, 0, 0, 0, vocab_size, tokenizer.fingerprint, ())
    sidecar_path(output).write_text(info.to_json(), encoding="utf-8")
    return info


def _summary(info: TokenFileInfo) -> Record:
    names = ("token_count", "byte_count", "document_count")
    return {name: getattr(info, name) for name in names}


def _totals(shards: list[Record]) -> Record:
    names = ("token_count", "byte_count", "document_count")
    return {name: sum(shard[name] for shard in shards) for name in names} | {"shards": shards}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
