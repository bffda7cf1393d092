"""GPT-2's two files: `vocab.json`, ids by spelled token, and `merges.txt`, one merge a line."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from tok.atomic import write_bytes
from tok.byte_alphabet import spell, spell_tokens, unspell, unspell_tokens
from tok.text_file import naming, read_json, read_text
from tok.vocabulary import Vocabulary

_HEADER = "#version: 0.2"


def read_vocab(path: Path, special_tokens: Collection[str]) -> dict[int, bytes]:
    """Reads `vocab.json`; those of `special_tokens` that it holds are written as they are."""
    with naming(path):
        return unspell_tokens(read_json(path), special_tokens)


def read_merges(path: Path) -> list[tuple[bytes, bytes]]:
    """Reads `merges.txt`: two spelled tokens a line, a space between; a `#version` line first."""
    with naming(path):
        lines = read_text(path).split("\n")
        start = 1 if lines[0].startswith("#version") else 0
        # Blank lines count for the line numbers of errors, so they are skipped only here.
        return [
            parse_merge(line, f"line {number}")
            for number, line in enumerate((line.rstrip("\r") for line in lines), 1)
            if line and number > start
        ]


def parse_merge(line: str, where: str) -> tuple[bytes, bytes]:
    """Reads one merge, as `merges.txt` and older `tokenizer.json` files write it: "Ġt he".

    Raises:
        ValueError: not two spelled tokens; `where` says which.
    """
    parts = line.split(" ")
    if len(parts) != 2 or not all(parts):
        raise ValueError(f"{where} must hold two tokens and one space between, got {line!r:.80}")
    return unspell(parts[0]), unspell(parts[1])


def write_files(vocab_path: Path, merges_path: Path, vocabulary: Vocabulary) -> None:
    """Writes both files, or neither."""
    spellings = json.dumps(spell_tokens(vocabulary), ensure_ascii=False)
    lines = [f"{spell(left)} {spell(right)}" for left, right in vocabulary.merges]
    merges = "\n".join([_HEADER, *lines, ""])
    write_bytes((vocab_path, spellings.encode()), (merges_path, merges.encode()))
