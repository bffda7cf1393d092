"""Byte-level BPE in Rust: train a vocabulary, encode text. Signatures are in `_core.pyi`."""

from bpe_rs._core import GPT2_PATTERN, BpeEncoder, EncodeStream, pretokenize, train_bpe

__all__ = ["GPT2_PATTERN", "BpeEncoder", "EncodeStream", "pretokenize", "train_bpe"]
