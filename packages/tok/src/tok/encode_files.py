"""Files to token files: `Tokenizer.encode_file` makes one, `encode_files` shards of equal length.

Rust reads and encodes, on several threads, and gives the ids of one block after the other
(`BpeEncoder.encode_files`); here they are written, so that a reader finds whole files only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bpe_rs import EncodedBlock

from tok.atomic import replacing
from tok.special import Special
from tok.text_file import StrPath
from tok.token_file import TokenFileInfo, TokenWriter, sidecar_path

if TYPE_CHECKING:
    from tok.tokenizer import Tokenizer

END_OF_TEXT = "<|endoftext|>"
ROWS = {".jsonl", ".ndjson", ".parquet"}
COMPRESSED = {".gz", ".zst"}


def encode_file(
    tokenizer: Tokenizer,
    input_path: StrPath | Sequence[StrPath],
    output_path: StrPath,
    *,
    document_separator: str | None = None,
    allowed_special: Special = "all",
    text_field: str = "text",
    max_expanded_bytes: int | None = None,
    num_threads: int | None = None,
    extra: Mapping[str, Any] | None = None,
    progress: Callable[[int], object] | None = None,
    spans: Sequence[tuple[int, int] | None] | None = None,
    before_sync: Callable[[Path], object] | None = None,
) -> TokenFileInfo:
    """Encodes files into one token file, on several threads, in memory that does not grow with it.

    `.jsonl` and `.ndjson` hold a JSON object a line, `.parquet` a table (read by pyarrow, the extra
    `parquet`): each row is a document. Any other file is UTF-8 text and gives the ids of
    `encode(text)`. `.gz` and `.zst` after that (`a.jsonl.zst`) are unpacked. No token crosses from
    one file to the next, nor from one row to the next.

    Both files are written beside and renamed when complete: a run that fails leaves what was there.

    Args:
        tokenizer: what encodes.
        input_path: one file or several.
        output_path: ends in `.npy`; the sidecar's path ends in `.json` instead.
        document_separator: the special token to put after each document that does not end with it:
            after each row and each text file. `document_count` counts it, wherever it comes from.
            None means "<|endoftext|>", after rows only: text files stay as they are.
        allowed_special: the special tokens that are recognised in the texts, a collection or "all";
            the others are plain text there.
        text_field: the field of a JSON object, or the column of a table, that is the text.
        max_expanded_bytes: a compressed file that expands to more is an error; None: no bound.
        num_threads: None means all cores; the result is the same for any number.
        extra: kept in the sidecar; anything that JSON holds.
        progress: called after each block with the bytes of text done so far.
        spans: for each file the bytes (start, stop) that are read of it, as if there were nothing
            before and behind; None reads all. Compressed files and tables can be read only whole.
        before_sync: called with the file of all ids, under the name that it has until it is on the
            disk: who hashes it on another thread has the processor while this one waits.

    Raises:
        FileNotFoundError: a file or the output's directory does not exist.
        ValueError: invalid UTF-8 or JSON, a row without a text (each names the file and the place),
            no text at all, a separator that is no special token or that rows have need of, an
            output path that is not `.npy` or whose files would replace an input, a span that is not
            in its file.
        KeyError: `allowed_special` names a token that is no special token.
        TypeError: `extra` is not JSON.
        ImportError: a `.parquet` file, and pyarrow is not installed.
        OSError: the disk is full.
    """
    job = Job.check(
        tokenizer,
        input_path,
        document_separator=document_separator,
        allowed_special=allowed_special,
        text_field=text_field,
        extra=extra,
        spans=spans,
    )
    output = npy_path(output_path)
    job.check_outputs(output, sidecar_path(output))
    with replacing(output, sidecar_path(output)) as (ids_file, sidecar_file):
        writer = TokenWriter(ids_file, tokenizer.dtype, job.separator_id)

        def take(block: EncodedBlock) -> None:
            writer.write(block.token_ids, block.byte_count)
            if progress and block.byte_count:
                progress(writer.byte_count)

        job.encode(take, max_expanded_bytes=max_expanded_bytes, num_threads=num_threads)
        info = job.info(writer)
        writer.finish()
        sidecar_file.write(info.to_json().encode())
        if before_sync:
            ids_file.flush()
            before_sync(Path(ids_file.name))
    return info


@dataclass(frozen=True)
class Job:
    """What is to be encoded, and all that the ids depend on."""

    tokenizer: Tokenizer
    inputs: tuple[Path, ...]
    document_separator: str | None
    """As the caller gave it."""
    allowed_special: tuple[str, ...] | None
    """None means all."""
    text_field: str
    extra: Mapping[str, Any]
    spans: Sequence[tuple[int, int] | None] | None = None
    """The bytes of each file that are read; None means all."""

    @classmethod
    def check(
        cls,
        tokenizer: Tokenizer,
        input_path: StrPath | Sequence[StrPath],
        *,
        document_separator: str | None,
        allowed_special: Special,
        text_field: str,
        extra: Mapping[str, Any] | None,
        spans: Sequence[tuple[int, int] | None] | None = None,
    ) -> Self:
        """Refuses what could not come to a good end: a mistake shall not cost the whole run."""
        inputs = _input_paths(input_path)
        json.dumps(extra, allow_nan=False)
        _check_separator(tokenizer, document_separator, inputs)
        allowed = None if allowed_special == "all" else tuple(sorted(set(allowed_special)))
        kept = dict(extra or {})
        return cls(tokenizer, inputs, document_separator, allowed, text_field, kept, spans)

    @property
    def separator_id(self) -> int | None:
        """The id that ends documents."""
        return self.tokenizer.special_tokens.get(self.document_separator or END_OF_TEXT)

    def check_outputs(self, *outputs: Path) -> None:
        """Refuses outputs that are inputs."""
        resolved = {output.resolve() for output in outputs}
        for path in self.inputs:
            if path.resolve() in resolved:
                raise ValueError(
                    f"{path} would be overwritten by its own ids; choose another output"
                )

    def encode(
        self,
        take: Callable[[EncodedBlock], object],
        *,
        first_file: int = 0,
        first_block: int = 0,
        max_expanded_bytes: int | None,
        num_threads: int | None,
    ) -> None:
        """Gives the blocks of all files, in order, from one of them on, to `take`."""
        encoder = self.tokenizer.encoder
        if self.allowed_special is not None:
            encoder = encoder.recognising(self.allowed_special)
        encoder.encode_files(
            self.inputs[first_file:],
            take,
            row_separator=self.separator_id,
            file_separator=self.separator_id if self.document_separator else None,
            text_field=self.text_field,
            max_expanded_bytes=max_expanded_bytes,
            num_threads=num_threads,
            first_block=first_block,
            spans=self.spans and self.spans[first_file:],
        )

    def info(self, writer: TokenWriter, shard: Mapping[str, Any] | None = None) -> TokenFileInfo:
        """The sidecar of what was written.

        Raises:
            ValueError: nothing was.
        """
        if not writer.token_count:
            names = ", ".join(map(str, self.inputs)) or "no files"
            raise ValueError(f"no text to encode in {names}")
        return TokenFileInfo(
            dtype=self.tokenizer.dtype.name,
            token_count=writer.token_count,
            byte_count=writer.byte_count,
            document_count=writer.document_count,
            vocab_size=self.tokenizer.max_token_id + 1,
            tokenizer_hash=self.tokenizer.fingerprint,
            source=tuple(path.name for path in self._named_inputs()),
            extra=self.extra,
            shard=shard,
        )

    def _named_inputs(self) -> Iterable[Path]:
        if self.spans is None:
            return self.inputs
        return (path for path, _ in groupby(self.inputs))


def _input_paths(input_path: StrPath | Sequence[StrPath]) -> tuple[Path, ...]:
    if isinstance(input_path, Sequence) and not isinstance(input_path, str):
        return tuple(map(Path, input_path))
    return (Path(input_path),)


def npy_path(output_path: StrPath) -> Path:
    """The path of an array.

    Raises:
        ValueError: it does not end in `.npy`.
    """
    output = Path(output_path)
    if output.suffix != ".npy":
        raise ValueError(f"output_path must end in .npy, got {str(output)!r}")
    return output


def _check_separator(tokenizer: Tokenizer, separator: str | None, inputs: Sequence[Path]) -> None:
    special_tokens = list(tokenizer.special_tokens)
    if separator is not None and separator not in special_tokens:
        raise ValueError(
            f"document_separator must be one of the special tokens {special_tokens}, "
            f"got {separator!r}"
        )
    rows = [path for path in inputs if _holds_rows(path)]
    if rows and separator is None and END_OF_TEXT not in special_tokens:
        raise ValueError(
            f"the documents of {rows[0]} need a separator, and there is no {END_OF_TEXT!r}: name "
            f"one of the special tokens {special_tokens} as document_separator, or give the "
            "tokenizer one"
        )


def _holds_rows(path: Path) -> bool:
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    return path.suffix.lower() in ROWS
