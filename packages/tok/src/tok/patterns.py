"""The patterns that published tokenizers cut text with, and how files of others spell them.

A pattern's text is a fact that ids depend on; two texts that find the same are one pattern here.
"""

from __future__ import annotations

from bpe_rs import CL100K_PATTERN, GPT2_PATTERN, LLAMA3_PATTERN, O200K_PATTERN, QWEN2_PATTERN

# What Oniguruma, which `tokenizers` searches with, reads as Rust's engines read the key: to it
# `{1,3}+` repeats, and `$` matches before each line end.
HUGGINGFACE_SPELLINGS = {
    CL100K_PATTERN: (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s+\z|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    GPT2_PATTERN: GPT2_PATTERN,
    LLAMA3_PATTERN: LLAMA3_PATTERN,
    O200K_PATTERN: O200K_PATTERN,
    QWEN2_PATTERN: QWEN2_PATTERN,
}

# GPT-2's pattern as first published and as tiktoken has it.
_SAME = {
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": GPT2_PATTERN,
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s": (
        GPT2_PATTERN
    ),
}

NAMED = {
    "gpt2": GPT2_PATTERN,
    "cl100k": CL100K_PATTERN,
    "o200k": O200K_PATTERN,
    "llama3": LLAMA3_PATTERN,
    "qwen2": QWEN2_PATTERN,
}


def canonical(pattern: str) -> str:
    """The one text of a pattern that is known by several; any other as it is."""
    return _SAME.get(pattern, pattern)


def from_huggingface(regex: str) -> str | None:
    """The pattern that a `tokenizer.json` means by this text; None where that is not known."""
    known = {spelling: pattern for pattern, spelling in HUGGINGFACE_SPELLINGS.items()}
    # The second of `_SAME` is none of Oniguruma's: its `$` is another.
    first = next(iter(_SAME))
    return known.get(regex, _SAME[first] if regex == first else None)
