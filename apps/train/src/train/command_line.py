"""The command line: a preset's defaults, or those of the run to resume, under the flags typed."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prepare.help_screens import parse_flags
from prepare.presets import read_preset

from train.changes import read_changes
from train.config import USUAL, RunConfig
from train.directories import old_directory, read_asked


def read_command_line(arguments: Sequence[str] | None = None) -> RunConfig:
    """Reads `arguments`, or those of the process.

    Raises:
        ValueError: A preset that is not there, a field out of range, or a flag that would make a
            resumed run another one than it is allowed to become.
        FileNotFoundError: The run to resume is not there.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="stories")
    first.add_argument("--out", type=Path)
    first.add_argument("--resume", action="store_true")
    chosen = first.parse_known_args(arguments)[0]
    if not chosen.resume:
        default = read_preset(RunConfig, "train", chosen.preset)
        config = _parse(default, arguments)
        if config.allow or config.fall_back:
            raise ValueError("--allow and --fall-back are about a run to go on with: add --resume")
        return config
    directory = old_directory(chosen.out)
    default = replace(read_asked(directory), out=directory, resume=True)
    config = _parse(default, arguments)
    read_changes(config, directory)  # refused here, before data is opened
    return config


def _parse(default: RunConfig, arguments: Sequence[str] | None) -> RunConfig:
    return parse_flags(default, program="train", usual=USUAL, arguments=arguments)
