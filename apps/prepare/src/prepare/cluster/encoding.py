"""From text and a tokenizer to token files and their manifest: the stages `encode` and `finish`."""

from __future__ import annotations

import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from blake3 import blake3
from tok import TokenFileInfo, Tokenizer
from tok.atomic import replacing
from tok.token_file import TokenWriter, sidecar_path

from prepare.cluster.task import TOKENIZER, Record, Task, read_records, record_name, text_record
from prepare.cluster.text import ShareText, Sources, known_bad

MANIFEST = "manifest.json"
PARTS = ("train", "valid")


def encode(task: Task) -> Record:
    """Writes the token file of a share of the training or of the validation text."""
    is_train = task.rank < len(task.plan.train)
    number = task.rank if is_train else task.rank - len(task.plan.train)
    share = task.plan.parts[0 if is_train else 1][number]
    name = f"{PARTS[0 if is_train else 1]}-{number:05}.npy"
    tokenizer = _tokenizer(task)
    extra = {} if is_train else task.plan.valid_extra
    text = ShareText(share, task.plan.settings, task.scratch)
    counted = (
        known_bad(read_records(task, "count", range(number, number + 1))[0]) if is_train else None
    )
    hashes: list[Future[str]] = []
    with task.folder.making(name, task.scratch) as output, ThreadPoolExecutor(1) as other:

        def work(text: Sources) -> TokenFileInfo:
            if text.is_empty:
                return _write_nothing(tokenizer, output)
            return tokenizer.encode_file(
                text.paths,
                output,
                extra=extra,
                num_threads=task.limits.threads,
                spans=text.spans,
                before_sync=lambda path: hashes.append(other.submit(_hash, path)),
            )

        info, bad = text.read(work, counted)
        found = hashes[-1].result() if hashes else _hash(output)
        shard = {"name": name, "blake3": found, **_summary(info)}
    made = {"tokenizer_hash": tokenizer.fingerprint, "shard": shard}
    return text_record(share, bad) | made


def finish(task: Task) -> Record:
    """Writes the manifest: all token files in order, and what was left out of them."""
    for directory in ("", *(f"cluster/{stage.name}" for stage in task.plan.stages)):
        task.folder.remove_temporary(directory)
    records = read_records(task, "encode", range(task.plan.stage_before(task.stage).tasks))
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
        "version": 2,
        "fingerprint": task.plan.settings.fingerprint,
        "tokenizer_hash": tokenizer_hash,
        "bad_documents": [bad for record in records for bad in record["bad_documents"]],
        **{part: _totals(shards) for part, shards in parts.items()},
    }
    task.folder.write_json(MANIFEST, manifest, task.scratch)
    return {}


def _tokenizer(task: Task) -> Tokenizer:
    [record] = read_records(task, "learn", range(1))
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


def _hash(path: Path) -> str:
    """BLAKE3 of a file, as `b3sum` prints it.

    5.7 GB/s on one core with AVX-512, reading included, where SHA-256 by the processor's own
    instructions is at 1.8: that was half of what the engine added to the work of one process.
    """
    return blake3().update_mmap(path).hexdigest()
