"""The command `train`."""

import os
import signal
import sys
import time

import torch
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from sample import load_run, pick_device, write
from trainkit import AnomalyError, FirstRankFailedError, Terminated, join_ranks

from train import BEGUN
from train.command_line import read_command_line
from train.exit_codes import DIVERGED, FAILED
from train.memory import keep_freed_memory
from train.restart import restarted_arguments
from train.result import RunResult
from train.run import train


def main() -> None:
    """Runs `train` on the command line's arguments; exits with 1 and a sentence on bad input."""
    keep_freed_memory()
    console = Console(highlight=False)
    try:
        _take_own_gpu()
        with join_ranks() as ranks:
            console.quiet = not ranks.is_first
            config = ranks.from_first(lambda: read_command_line(restarted_arguments(sys.argv[1:])))
            result = train(config, console, ranks, begun=BEGUN)
        if ranks.is_first:
            _show(result, console, time.perf_counter() - BEGUN)
    except FirstRankFailedError:
        sys.exit(1)
    except (ValueError, OSError, FloatingPointError, ImportError) as error:
        place = f" on rank {os.environ['RANK']}" if console.quiet else ""
        message = Text(f"error{place}: ", style="bold red")
        message.append(str(error), style="not bold default")
        Console(stderr=True, highlight=False).print(message, soft_wrap=True)
        sys.exit(DIVERGED if isinstance(error, AnomalyError) else FAILED)
    except KeyboardInterrupt as stop:
        # 128 + the signal's number, as a shell says it.
        sys.exit(128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))


def _take_own_gpu() -> None:
    """Makes "cuda" mean a GPU for each rank of this machine."""
    if torch.cuda.is_available():
        rank = int(os.environ.get("LOCAL_RANK", "0"))
        torch.cuda.set_device(rank % torch.cuda.device_count())


def _show(result: RunResult, console: Console, seconds: float) -> None:
    for line in result.sentences():
        console.print(line)
    console.print(Panel(Text(_sample(result)), title="a sample", border_style="dim"))
    console.print(f"done in {seconds / 60:.1f} minutes; its report: {result.directory}/report.html")
    console.print("next:")
    console.print(f"  uv run sample --run {result.directory} --num-samples 3")
    console.print(f'  uv run sample --run {result.directory} --prompt "Once upon a time"')
    console.print(f"  uv run sample --web --run {result.directory}")
    console.print("  uv run prepare --input FILE --valid FILE --vocab-size 4096 --out data/mine")
    console.print("  uv run train --data data/mine --preset tales")


def _sample(result: RunResult) -> str:
    """A text that the run's model writes: read back from its directory, as `sample` does."""
    run = load_run(result.directory, pick_device())
    [text] = write(run.model, run.tokenizer, "")
    return text


if __name__ == "__main__":
    main()
