"""Corpus to tokenizer and token files."""
