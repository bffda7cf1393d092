"""How each trainer is called: the same corpus, GPT-2's pattern, one special token.

What is timed (`worker.py`) is `train`. `merges` comes after it, as some peers do not return theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Merge = tuple[bytes, ...]
"""The left and the right token; or only both together, where a peer tells no more."""


@dataclass(frozen=True)
class Job:
    """What one process is to do; `merges` names a file that receives what was learned."""

    trainer: str
    corpus: str
    vocab_size: int
    special_token: str
    threads: int
    merges: str | None = None


@dataclass(frozen=True)
class Trainer:
    """How a package is called. `train` and `merges` get the imported module first."""

    module: str
    about: str
    train: Callable[[Any, Job], Any]
    merges: Callable[[Any], list[Merge]]


def documents(job: Job) -> Iterator[str]:
    """The corpus without its special tokens, for peers that take strings: never all at once.

    A peer that is given one string of 20 MB would pay for Python's copies of it with its peak RSS.
    """
    special_token = job.special_token.encode()
    rest = b""
    with open(job.corpus, "rb") as file:
        while block := file.read(1 << 20):
            *whole, rest = (rest + block).split(special_token)
            yield from (document.decode() for document in whole)
    yield rest.decode()


def train_ours(module: Any, job: Job, **options: str) -> Any:
    """`bpe_rs.train_bpe`."""
    return module.train_bpe(
        job.corpus, job.vocab_size, [job.special_token], num_threads=job.threads, **options
    )


def train_gigabpe(module: Any, job: Job) -> Any:
    """`gigabpe.train_bpe`, whose special tokens take an id but are not cut out of the text."""
    return module.train_bpe(
        [job.corpus],
        job.vocab_size,
        special_tokens=[job.special_token],
        pretokenizer="bytelevel",
        threads=job.threads,
    )


def train_gigatoken(module: Any, job: Job, tie_breaking: str) -> Any:
    """`gigatoken.train_bpe`; its special tokens only take ids, the separator is what cuts."""
    source = module.TextFileSource([job.corpus], job.special_token)
    return module.train_bpe(source, job.vocab_size, [job.special_token], tie_breaking)


# bpe_rs.GPT2_PATTERN, which is not to be loaded in a peer's process.
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def train_rustbpe(module: Any, job: Job) -> Any:
    """`rustbpe.Tokenizer`, which knows no special tokens: one id fewer."""
    tokenizer = module.Tokenizer()
    tokenizer.train_from_iterator(documents(job), job.vocab_size - 1, pattern=GPT2_PATTERN)
    return tokenizer


def train_tokenizers(module: Any, job: Job) -> Any:
    """Hugging Face `tokenizers`, from strings: 1.5 s on tales, from a file 1.7 s and uncut."""
    pre_tokenizers = module.pre_tokenizers
    tokenizer = module.Tokenizer(module.models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = module.trainers.BpeTrainer(
        vocab_size=job.vocab_size,
        special_tokens=[job.special_token],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents(job), trainer)
    return tokenizer


def bytes_of_characters() -> dict[str, int]:
    """The bytes that GPT-2's visible characters stand for (Radford et al. 2019, `encoder.py`)."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    characters = [*map(chr, visible), *(chr(256 + n) for n in range(len(others)))]
    return dict(zip(characters, visible + others, strict=True))


def from_visible(merges: list[tuple[str, str]]) -> list[Merge]:
    """Merges of strings in GPT-2's visible characters, as bytes."""
    table = bytes_of_characters()
    return [tuple(bytes(table[c] for c in token) for token in merge) for merge in merges]


def tokenizers_merges(tokenizer: Any) -> list[Merge]:
    """The merges in a `tokenizer.json`."""
    return from_visible(json.loads(tokenizer.to_str())["model"]["merges"])


def rustbpe_merges(tokenizer: Any) -> list[Merge]:
    """What each merge makes: rustbpe does not tell from what."""
    ranks = sorted(tokenizer.get_mergeable_ranks(), key=lambda entry: entry[1])
    return [(bytes(token),) for token, _ in ranks[256:]]


TRAINERS = {
    "bpe-rs": Trainer(
        "bpe_rs",
        'ties to the greater byte pair, the default `tie_break="bytes"`',
        train_ours,
        lambda learned: learned[1],
    ),
    "bpe-rs-huggingface": Trainer(
        "bpe_rs",
        'the same with `tie_break="huggingface"`: ties to the smaller pair of ids',
        lambda module, job: train_ours(module, job, tie_break="huggingface"),
        lambda learned: learned[1],
    ),
    "gigabpe": Trainer(
        "gigabpe",
        "ties as Hugging Face; cuts at each line end and does not cut out special tokens",
        train_gigabpe,
        lambda learned: from_visible(learned[1]),
    ),
    "gigatoken": Trainer(
        "gigatoken",
        "ties as Hugging Face, its default",
        lambda module, job: train_gigatoken(module, job, "huggingface"),
        lambda learned: learned[1],
    ),
    "gigatoken-byte-ids": Trainer(
        "gigatoken",
        "ties to the smaller pair of ids, a byte's id being its value",
        lambda module, job: train_gigatoken(module, job, "raw_token_ids"),
        lambda learned: learned[1],
    ),
    "rustbpe": Trainer(
        "rustbpe",
        "ties to the smaller pair of ids, a byte's id being its value; from strings",
        train_rustbpe,
        rustbpe_merges,
    ),
    "tokenizers": Trainer(
        "tokenizers",
        "Hugging Face; from strings",
        train_tokenizers,
        tokenizers_merges,
    ),
}
"""By name, ours first."""
