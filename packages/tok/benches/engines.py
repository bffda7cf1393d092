"""How each engine is called, with GPT-2's vocabulary, as its users would for speed.

`flat` gives all ids of texts in one array, or the nearest that the engine offers (`about` says
what). On one thread it gets one text, on several its documents, since that is what peers spread
over threads.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

END = "<|endoftext|>"


@dataclass(frozen=True)
class Engine:
    """A package; all but `load` get the loaded tokenizer first. `files` may be missing."""

    module: str
    about: str
    load: Callable[[Any, Path], Any]
    flat: Callable[[Any, list[str], int], Any]
    ids: Callable[[Any, str], Any]
    decode: Callable[[Any, Any], Any]
    files: Callable[[Any, str, str, int], Any] | None = None


def load_ours(module: Any, folder: Path) -> Any:
    """`tok.Tokenizer.from_files`."""
    return module.Tokenizer.from_files(folder / "vocab.json", folder / "merges.txt", [END])


def flat_ours(tokenizer: Any, texts: list[str], threads: int) -> Any:
    """One array of `tokenizer.dtype`; on several threads with offsets."""
    if threads == 1:
        return tokenizer.encode_to_numpy(texts[0])
    batch = tokenizer.encoder.encode_batch
    return batch(texts, num_threads=threads, dtype=tokenizer.dtype)[0]


def ours_takes_threads() -> bool:
    """Whether `tok` as installed encodes one text on several threads."""
    import tok

    return "num_threads" in inspect.signature(tok.Tokenizer.encode_to_numpy).parameters


def flat_gigatoken(tokenizer: Any, texts: list[str], threads: int) -> Any:
    """`encode`, or `encode_batch`, whose awkward array holds the ids in one piece."""
    if threads == 1:
        return tokenizer.encode(texts[0])
    return tokenizer.encode_batch(texts, parallel=True)


def files_gigatoken(tokenizer: Any, path: str, output: str, threads: int) -> None:
    """All ids in memory, which `numpy.save` then writes."""
    np.save(output, array(tokenizer.encode_files(path)).astype(np.uint16))


def load_tiktoken(module: Any, folder: Path) -> Any:
    """`tiktoken.Encoding`, from the rank file that `encode.py` made of the same vocabulary."""
    lines = (folder / "gpt2.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}
    return module.Encoding(
        "gpt2",
        pat_str=(
            r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
        ),
        mergeable_ranks=ranks,
        special_tokens={END: len(ranks)},
    )


def flat_tiktoken(tokenizer: Any, texts: list[str], threads: int) -> Any:
    """`encode_to_numpy`; lists on several threads, as it has no array then."""
    if threads == 1:
        return tokenizer.encode_to_numpy(texts[0], allowed_special="all")
    return tokenizer.encode_batch(texts, num_threads=threads, allowed_special="all")


def flat_tokenizers(tokenizer: Any, texts: list[str], threads: int) -> Any:
    """Lists: it has no arrays."""
    if threads == 1:
        return tokenizer.encode(texts[0]).ids
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]


def array(ids: Any) -> np.ndarray:
    """What any engine's `flat` gave, as one array; not timed."""
    if isinstance(ids, np.ndarray):
        return ids.astype(np.uint32)
    if isinstance(ids, tuple):  # snaptokens: ids and offsets, as bytes
        return np.frombuffer(ids[0], dtype="<u4")
    if hasattr(ids, "layout"):  # gigatoken: awkward
        import awkward

        return np.asarray(awkward.flatten(ids, axis=None), dtype=np.uint32)
    if ids and isinstance(ids[0], list):
        return np.fromiter((i for row in ids for i in row), dtype=np.uint32)
    return np.asarray(ids, dtype=np.uint32)


def load_json(folder: Path) -> str:
    """`tokenizer.json`, which every engine but tiktoken reads."""
    return (folder / "tokenizer.json").read_text("utf-8")


ENGINES = {
    "tok": Engine(
        "tok",
        "ours, from GPT-2's two files; an array of uint16 (`Tokenizer.dtype`)",
        load_ours,
        flat_ours,
        lambda tokenizer, text: tokenizer.encode(text),
        lambda tokenizer, ids: tokenizer.decode(ids),
        lambda tokenizer, path, output, threads: tokenizer.encode_file(
            path, output, num_threads=threads
        ),
    ),
    "gigatoken": Engine(
        "gigatoken",
        "an array of uint32; on several threads an awkward array of documents; file: all ids in "
        "memory, then `numpy.save`; decodes to bytes",
        lambda module, folder: module.Tokenizer.from_json(load_json(folder)),
        flat_gigatoken,
        lambda tokenizer, text: tokenizer.encode(text).tolist(),  # `encode_batch_list`: 4 times it
        lambda tokenizer, ids: tokenizer.decode(ids),
        files_gigatoken,
    ),
    "snaptokens": Engine(
        "snaptokens",
        "ids and offsets of `encode_batch_flat`",
        lambda module, folder: module.Tokenizer.from_json_str(load_json(folder)),
        lambda tokenizer, texts, threads: tokenizer.encode_batch_flat(texts),
        lambda tokenizer, text: tokenizer.encode(text).ids,
        lambda tokenizer, ids: tokenizer.decode(ids),
    ),
    "tiktoken": Engine(
        "tiktoken",
        "an array of uint32 (`encode_to_numpy`); on several threads lists",
        load_tiktoken,
        flat_tiktoken,
        lambda tokenizer, text: tokenizer.encode_ordinary(text),  # looking for specials costs
        lambda tokenizer, ids: tokenizer.decode(ids),
    ),
    "tokenizers": Engine(
        "tokenizers",
        "Hugging Face; lists",
        lambda module, folder: module.Tokenizer.from_str(load_json(folder)),
        flat_tokenizers,
        lambda tokenizer, text: tokenizer.encode(text).ids,
        lambda tokenizer, ids: tokenizer.decode(ids, skip_special_tokens=False),
    ),
}
"""By name, ours first."""
