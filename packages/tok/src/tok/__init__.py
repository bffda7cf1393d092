"""Tokenizer: text to token ids and back, by byte-level BPE.

`Tokenizer` trains, encodes, decodes, saves, loads and writes token files. `tok.reference` is the
same in plain Python, for reading and for testing; it needs the extra `reference`.
"""

from bpe_rs import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    LLAMA3_PATTERN,
    O200K_PATTERN,
    QWEN2_PATTERN,
    train_bpe,
)

from tok.decoding import DecodeStream
from tok.shown import visible
from tok.token_file import TokenFileInfo
from tok.tokenizer import Tokenizer

__all__ = [
    "CL100K_PATTERN",
    "GPT2_PATTERN",
    "LLAMA3_PATTERN",
    "O200K_PATTERN",
    "QWEN2_PATTERN",
    "DecodeStream",
    "TokenFileInfo",
    "Tokenizer",
    "train_bpe",
    "visible",
]
