"""Checkpoint and tokenizer to text."""
