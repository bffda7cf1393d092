"""Tokenizer: text to token ids and back, by byte-level BPE."""
