"""Files to shards: token files of equal length, each whole as soon as it is there, and resumable.

    train-00000.npy   train-00000.json    the first `shard_tokens` ids, and their sidecar
    train-00001.npy   train-00001.json    the next ones, ...

One after the other the arrays are the ids that `encode_file` writes: a shard ends after so many
ids, wherever a document does. So the place of id n is arithmetic (shard n // shard_tokens, place
n % shard_tokens), and no document is too long for a shard.

A sidecar comes last, so where one is, its array is complete. It says where the shard ends: which
file, which block of it (blocks depend on nothing but the file), how many ids of that block. A run
that was killed goes on from there: it encodes this one block again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from bpe_rs import EncodedBlock

from tok.atomic import replacing
from tok.encode_files import Job, npy_path
from tok.special import Special
from tok.text_file import StrPath
from tok.token_file import TokenFileInfo, TokenWriter, read_info, sidecar_path

if TYPE_CHECKING:
    from tok.tokenizer import Tokenizer


def encode_files(
    tokenizer: Tokenizer,
    input_path: StrPath | Sequence[StrPath],
    output_path: StrPath,
    *,
    shard_tokens: int,
    overwrite: bool = False,
    document_separator: str | None = None,
    allowed_special: Special = "all",
    text_field: str = "text",
    max_expanded_bytes: int | None = None,
    num_threads: int | None = None,
    extra: Mapping[str, Any] | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[TokenFileInfo]:
    """Encodes files into token files of `shard_tokens` ids each; the last may have fewer.

    Together they hold the ids that `encode_file` writes. A run that was killed is resumed by the
    same call: shards that are there stay, and all are in the end what one undisturbed run writes,
    byte for byte.

    Args:
        tokenizer: what encodes.
        input_path: regular files, as for `encode_file`.
        output_path: `train.npy` stands for `train-00000.npy`, `train-00001.npy` and so on, with
            sidecars `train-00000.json` ...
        shard_tokens: ids in a shard. Documents may cross from one shard to the next.
        overwrite: what to do with shards that are there but were made otherwise (by another
            tokenizer, of other or changed files, with other options): remove all, in place of an
            error. They are removed before the first is written.
        document_separator: as for `encode_file`, like all that follow.
        allowed_special: see there.
        text_field: see there.
        max_expanded_bytes: see there.
        num_threads: see there.
        extra: see there; it stands in each sidecar.
        progress: called with the bytes of text done so far, those of earlier runs included.

    Returns:
        What the sidecars say, in order.

    Raises:
        ValueError: shards are there that were made otherwise (says what differs), and what
            `encode_file` refuses.
        FileNotFoundError: as for `encode_file`, like KeyError, TypeError, ImportError, OSError.
    """
    if shard_tokens < 1:
        raise ValueError(f"shard_tokens must be at least 1, got {shard_tokens}")
    job = Job.check(
        tokenizer,
        input_path,
        document_separator=document_separator,
        allowed_special=allowed_special,
        text_field=text_field,
        extra=extra,
    )
    shards = _Shards(npy_path(output_path))
    job.check_outputs(*shards.files())
    run = _describe_run(job, shard_tokens)
    if overwrite and not shards.are_of(job, run):
        shards.remove_all()
    shards.remove_temporary()
    finished = shards.finished(job, run)
    if finished and finished[-1].shard and finished[-1].shard["is_last"]:
        return finished
    with _ShardWriter(job, run, shards, finished, progress) as writer:
        start = writer.start
        job.encode(
            writer.take,
            first_file=start.file,
            first_block=start.block,
            max_expanded_bytes=max_expanded_bytes,
            num_threads=num_threads,
        )
        writer.finish()
    return writer.infos


@dataclass(frozen=True)
class _Place:
    """A place between two ids: after so many of a block of a file."""

    file: int = 0
    block: int = 0
    token_count: int = 0


def _describe_run(job: Job, shard_tokens: int) -> dict[str, Any]:
    """All that the bytes of the shards depend on besides tokenizer and `extra`.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: one is no regular file: it could not be read again.
    """
    for path in job.inputs:
        if path.exists() and not path.is_file():
            raise ValueError(
                f"{path} is no regular file, and shards can be resumed only if it is read again; "
                "encode_file takes it"
            )
    stats = [path.stat() for path in job.inputs]
    return {
        "shard_tokens": shard_tokens,
        "document_separator": job.document_separator,
        "allowed_special": list(job.allowed_special) if job.allowed_special is not None else "all",
        "text_field": job.text_field,
        "bpe_rs": metadata.version("bpe-rs"),  # another one may cut other blocks
        "inputs": [
            {"name": path.name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
            for path, stat in zip(job.inputs, stats, strict=True)
        ],
    }


class _Shards:
    """The shards of an output path: their names, and what is there of them."""

    def __init__(self, output: Path) -> None:
        self._output = output
        stem = re.escape(output.stem)
        self._name = re.compile(rf"{stem}-(\d{{5,}})\.(?:npy|json)")
        self._temporary = re.compile(rf"\.{stem}-\d{{5,}}\.(?:npy|json)\.[0-9a-f]{{8}}\.tmp")

    def path(self, number: int) -> Path:
        return self._output.with_name(f"{self._output.stem}-{number:05}.npy")

    def files(self) -> list[Path]:
        """All there are; sidecars come first, so that none is ever without its array."""
        found = [path for path in self._in_folder() if self._name.fullmatch(path.name)]
        return sorted(found, key=lambda path: (path.suffix, path.name))

    def remove_all(self) -> None:
        for path in self.files():
            path.unlink()

    def remove_temporary(self) -> None:
        """Removes what a killed run had begun."""
        for path in self._in_folder():
            if self._temporary.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def are_of(self, job: Job, run: Mapping[str, Any]) -> bool:
        """Whether all that is there was made by `run`."""
        try:
            self.finished(job, run)
        except (ValueError, OSError):
            return False
        return True

    def finished(self, job: Job, run: Mapping[str, Any]) -> list[TokenFileInfo]:
        """The shards that are complete, from the first on.

        Raises:
            ValueError: one is not of this run, or one is missing before others.
        """
        infos: list[TokenFileInfo] = []
        for number in count():
            path = self.path(number)
            if not sidecar_path(path).exists():
                break
            info = read_info(path)
            _check_same(sidecar_path(path), info, job, run)
            infos.append(info)
        # An array without a sidecar is what a run leaves that is killed between the two.
        if beyond := [path for path in self.files() if self._number(path) > len(infos)]:
            missing = self.path(len(infos))
            raise ValueError(
                f"{missing} is not there with its sidecar, but {beyond[0].name} is; {_WAYS_OUT}"
            )
        return infos

    def _number(self, path: Path) -> int:
        match = self._name.fullmatch(path.name)
        return int(match[1]) if match else -1

    def _in_folder(self) -> list[Path]:
        folder = self._output.parent
        return list(folder.iterdir()) if folder.is_dir() else []


_WAYS_OUT = "give overwrite=True to make all shards anew, or choose another output"


def _check_same(path: Path, info: TokenFileInfo, job: Job, run: Mapping[str, Any]) -> None:
    """Raises ValueError unless the shard is one of this run's."""
    made = {"tokenizer_hash": info.tokenizer_hash, "extra": info.extra} | dict(info.shard or {})
    wanted = {"tokenizer_hash": job.tokenizer.fingerprint, "extra": job.extra} | dict(run)
    for key, value in wanted.items():
        if made.get(key) != value:
            raise ValueError(
                f"{path} is of another run: its {key} is {made.get(key)!r}, not {value!r}; "
                f"{_WAYS_OUT}"
            )


class _ShardWriter:
    """Takes blocks of ids, and writes shards: one is open at a time, and is complete or nothing."""

    def __init__(
        self,
        job: Job,
        run: Mapping[str, Any],
        shards: _Shards,
        finished: Sequence[TokenFileInfo],
        progress: Callable[[int], object] | None,
    ) -> None:
        self.infos = list(finished)
        self._job, self._run, self._shards, self._progress = job, run, shards, progress
        self._shard_tokens: int = run["shard_tokens"]
        self._byte_count = sum(info.byte_count for info in finished)
        shard = self.infos[-1].shard if self.infos else None
        self.start = _Place(**shard["end"]) if shard else _Place()
        self._end = self.start
        self._files = ExitStack()

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, traceback)

    def take(self, block: EncodedBlock) -> None:
        """Writes a block's ids, but for those that a complete shard holds already."""
        file = self.start.file + block.file
        done, end = 0, len(block.token_ids)
        if (file, block.block) == (self._end.file, self._end.block):
            done = self._end.token_count
        while done < end:
            if self._writer.token_count == self._shard_tokens:
                self._close(is_last=False)
                self._open()
            stop = min(end, done + self._shard_tokens - self._writer.token_count)
            byte_count = self._bytes_between(block, done, stop)
            self._writer.write(block.token_ids[done:stop], byte_count)
            self._byte_count += byte_count
            self._end = _Place(file, block.block, stop)
            done = stop
        if self._progress and block.byte_count:
            self._progress(self._byte_count)

    def finish(self) -> None:
        """Completes the last shard."""
        self._close(is_last=True)

    def _open(self) -> None:
        path = self._shards.path(len(self.infos))
        files = self._files.enter_context(replacing(path, sidecar_path(path)))
        self._writer = TokenWriter(files[0], self._job.tokenizer.dtype, self._job.separator_id)
        self._sidecar = files[1]

    def _close(self, *, is_last: bool) -> None:
        shard = {"number": len(self.infos), "is_last": is_last, "end": asdict(self._end)}
        info = self._job.info(self._writer, shard | dict(self._run))
        self._writer.finish()
        self._sidecar.write(info.to_json().encode())
        self._files.close()
        self.infos.append(info)

    def _bytes_between(self, block: EncodedBlock, start: int, stop: int) -> int:
        """Bytes of text that some of a block's ids stand for."""
        if stop - start == len(block.token_ids):
            return block.byte_count
        ids, separators = block.token_ids[start:stop], block.separators
        put = np.searchsorted(separators, stop) - np.searchsorted(separators, start)
        return len(self._job.tokenizer.decode_bytes(ids)) - int(put) * self._separator_bytes

    @property
    def _separator_bytes(self) -> int:
        separator_id = self._job.separator_id
        return 0 if separator_id is None else len(self._job.tokenizer.token_bytes(separator_id))
