"""A run that torchrun or Slurm starts again, with the same words, because a part of it has died."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path


def restarted_arguments(arguments: Sequence[str]) -> list[str]:
    """`arguments`, with --resume where torchrun or Slurm starts again what has begun.

    Reads their environment: how often torchrun has restarted the ranks, and how often it may, and
    how often Slurm has put the job back into its queue.

    Raises:
        ValueError: it may restart, but there is no --out by which the run would be found.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", action="store_true")
    chosen = parser.parse_known_args(arguments)[0]
    if chosen.out is None and _from_torchrun("MAX_RESTARTS"):
        raise ValueError(
            "torchrun may restart this run, and can find it again by --out alone: name it, or run"
            " torchrun with --max-restarts=0"
        )
    is_restarted = _from_torchrun("RESTART_COUNT") or int(os.environ.get("SLURM_RESTART_COUNT", 0))
    if chosen.resume or chosen.out is None or not is_restarted:
        return list(arguments)
    has_begun = (chosen.out / "config.json").is_file()
    return [*arguments, *(["--resume"] if has_begun else [])]


def _from_torchrun(name: str) -> int:
    return int(os.environ.get(f"TORCHELASTIC_{name}", "0"))
