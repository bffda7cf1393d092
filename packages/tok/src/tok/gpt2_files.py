"""GPT-2's two files: `vocab.json`, ids by spelled token, and `merges.txt`, one merge a line."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from bpe_rs import ReadVocabulary, read_gpt2_files, unspell_merges

from tok.atomic import write_bytes
from tok.byte_alphabet import spell, spell_tokens, unspell_tokens
from tok.text_file import naming, read_json, read_text
from tok.vocabulary import Vocabulary

_HEADER = "#version: 0.2"


def read_files(
    vocab_path: Path, merges_path: Path, special_tokens: Collection[str]
) -> ReadVocabulary | None:
    """Reads both files, if there is nothing wrong: else the two functions below say what."""
    try:
        vocab, merges = vocab_path.read_bytes(), merges_path.read_bytes()
    except OSError:
        return None
    return read_gpt2_files(vocab, merges, special_tokens)


def read_vocab(path: Path, special_tokens: Collection[str]) -> dict[int, bytes]:
    """Reads `vocab.json`; those of `special_tokens` that it holds are written as they are."""
    with naming(path):
        return unspell_tokens(read_json(path), special_tokens)


def read_merges(path: Path) -> list[tuple[bytes, bytes]]:
    """Reads `merges.txt`: two spelled tokens a line, a space between; a `#version` line first."""
    with naming(path):
        text = read_text(path)
        if not text.startswith("#version"):
            return unspell_merges(text, name="line", first=1)
        return unspell_merges(text.partition("\n")[2], name="line", first=2)


def write_files(vocab_path: Path, merges_path: Path, vocabulary: Vocabulary) -> None:
    """Writes both files, or neither."""
    spellings = json.dumps(spell_tokens(vocabulary), ensure_ascii=False)
    lines = [f"{spell(left)} {spell(right)}" for left, right in vocabulary.merges]
    merges = "\n".join([_HEADER, *lines, ""])
    write_bytes((vocab_path, spellings.encode()), (merges_path, merges.encode()))
