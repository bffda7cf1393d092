"""From text to a vocabulary: the stages `count`, `merge-1`, ... and `learn`."""

from __future__ import annotations

from pathlib import Path

from bpe_rs import PretokenCounts
from tok import Tokenizer

from prepare.cluster.plan import FAN_IN
from prepare.cluster.task import TOKENIZER, Record, Task, counts_name, read_records, text_record
from prepare.cluster.text import ShareText, Sources


def count(task: Task) -> Record:
    """Writes the counts of the pretokens of a share."""
    settings, share = task.plan.settings, task.plan.train[task.rank]

    def work(text: Sources) -> PretokenCounts:
        return PretokenCounts.count(
            text.paths,
            settings.special_tokens,
            max_memory_bytes=task.limits.max_memory_bytes,
            num_threads=task.limits.threads,
            spans=text.spans,
        )

    counts, bad = ShareText(share, settings, task.scratch).read(work)
    with task.folder.making(counts_name(task.stage, task.rank), task.scratch) as path:
        counts.save(path)
    return text_record(share, bad)


def merge(task: Task) -> Record:
    """Writes the sum of up to `FAN_IN` files of counts."""
    before = task.plan.stage_before(task.stage)
    first = task.rank * FAN_IN
    ranks = range(first, min(first + FAN_IN, before.tasks))
    with task.folder.making(counts_name(task.stage, task.rank), task.scratch) as path:
        PretokenCounts.merge_files(_counts_files(task, before.name, ranks), path)
    return {}


def learn(task: Task) -> Record:
    """Writes the tokenizer that the counts of all shares give."""
    settings, before = task.plan.settings, task.plan.stage_before(task.stage)
    # Not loaded: they would be held beside all that learning needs.
    counts = PretokenCounts.open(_counts_files(task, before.name, range(before.tasks)))
    tokenizer = Tokenizer.train(
        counts,
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


def _counts_files(task: Task, stage: str, ranks: range) -> list[Path]:
    """The counts that tasks of a stage wrote, as files on this machine."""
    read_records(task, stage, ranks)
    names = [counts_name(stage, rank) for rank in ranks]
    return [task.folder.local_copy(name, task.scratch) for name in names]
