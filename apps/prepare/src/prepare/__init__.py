"""Corpus to tokenizer and token files: the app `prepare`, and its work as functions."""

from prepare.config import PrepareConfig
from prepare.pipeline import prepare

__all__ = ["PrepareConfig", "prepare"]
