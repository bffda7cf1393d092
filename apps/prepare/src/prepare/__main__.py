"""The command `prepare`."""

import sys
import time

from rich.console import Console
from rich.text import Text

from prepare.config import USUAL, PrepareConfig
from prepare.pipeline import import_cluster, prepare
from prepare.presets import parse_command_line


def main() -> None:
    """Runs `prepare` on the command line's arguments; exits with 1 and a sentence on bad input."""
    console = Console(highlight=False)
    try:
        config = parse_command_line(PrepareConfig, "prepare", default="stories", usual=USUAL)
        if config.cluster.status:
            _print_status(config.cluster.status, console)
            return
        start = time.perf_counter()
        prepare(config, console.print)
    except (ValueError, OSError) as error:
        message = Text("error: ", style="bold red").append(str(error), style="not bold default")
        Console(stderr=True, highlight=False).print(message, soft_wrap=True)
        sys.exit(1)
    if config.cluster.executor == "slurm":
        return  # submitted, not written
    directory = config.out or config.directory
    console.print(f"written     {directory} in {time.perf_counter() - start:.1f} s")
    console.print(f"next        uv run train --data {directory}")


def _print_status(directory: str, console: Console) -> None:
    status = import_cluster("status").read_status(PrepareConfig(out=directory).url)
    for line in status.lines():
        console.print(line, soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
