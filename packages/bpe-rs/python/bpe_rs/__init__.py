"""Byte-level BPE in Rust: count pretokens, train a vocabulary, encode text, decode ids.

Signatures are in `_core.pyi`.
"""

from bpe_rs._core import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    LLAMA3_PATTERN,
    O200K_PATTERN,
    QWEN2_PATTERN,
    BpeDecoder,
    BpeEncoder,
    EncodedBlock,
    EncodeStream,
    PretokenCounts,
    ReadVocabulary,
    SpecialTokens,
    last_merges,
    pretokenize,
    read_gpt2_files,
    train_bpe,
    unspell_merges,
    unspell_vocab,
)
from bpe_rs._vocabulary import Vocabulary

__all__ = [
    "CL100K_PATTERN",
    "GPT2_PATTERN",
    "LLAMA3_PATTERN",
    "O200K_PATTERN",
    "QWEN2_PATTERN",
    "BpeDecoder",
    "BpeEncoder",
    "EncodeStream",
    "EncodedBlock",
    "PretokenCounts",
    "ReadVocabulary",
    "SpecialTokens",
    "Vocabulary",
    "last_merges",
    "pretokenize",
    "read_gpt2_files",
    "train_bpe",
    "unspell_merges",
    "unspell_vocab",
]
