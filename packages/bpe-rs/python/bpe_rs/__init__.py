"""Byte-level BPE in Rust: count pretokens, train a vocabulary, encode text, decode ids.

Signatures are in `_core.pyi`.
"""

from bpe_rs._core import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    O200K_PATTERN,
    BpeDecoder,
    BpeEncoder,
    EncodedBlock,
    EncodeStream,
    PretokenCounts,
    parse_json,
    pretokenize,
    train_bpe,
    unspell,
    unspell_merges,
)
from bpe_rs._vocabulary import Vocabulary

__all__ = [
    "CL100K_PATTERN",
    "GPT2_PATTERN",
    "O200K_PATTERN",
    "BpeDecoder",
    "BpeEncoder",
    "EncodeStream",
    "EncodedBlock",
    "PretokenCounts",
    "Vocabulary",
    "parse_json",
    "pretokenize",
    "train_bpe",
    "unspell",
    "unspell_merges",
]
