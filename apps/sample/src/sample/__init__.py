"""Checkpoint and tokenizer to text: the app `sample`, and its work as functions."""

from sample.device import pick_device
from sample.run import LoadedRun, load_run, newest_run
from sample.writing import write

__all__ = ["LoadedRun", "load_run", "newest_run", "pick_device", "write"]
