"""A run as the directory that `transformers` loads, and back: `python -m sample.convert`."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from nnparts import from_huggingface, to_huggingface
from rich.console import Console
from rich.text import Text
from tok import Tokenizer
from trainkit import CheckpointManager, replace_file

from sample.run import load_run

END_OF_TEXT = "<|endoftext|>"
_TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class ConvertConfig:
    """A checkpoint to a directory for transformers, tokenizer included, or such a one to a run."""

    source: tyro.conf.Positional[Path]
    """Run directory that `train` wrote; with --from-huggingface, a directory of transformers."""
    out: tyro.conf.Positional[Path]
    """Directory to write."""
    step: int | None = None
    """Which checkpoint of the run, by its step; the latest if not given."""
    from_huggingface: bool = False
    """The other way: makes a run directory that `sample` reads."""


def export_run(run: Path, out: Path, step: int | None = None) -> int:
    """Writes a checkpoint of `run` for `transformers`: weights, config and `tokenizer.json`.

    It reads checkpoints of one process and of many, in fp32 or whatever they were saved in.

    Returns:
        The checkpoint's step.

    Raises:
        FileNotFoundError: There is no such run or checkpoint.
        ValueError: A damaged checkpoint, or a model that no architecture there computes.
    """
    loaded = load_run(run, torch.device("cpu"), step)
    end = loaded.tokenizer.special_tokens.get(END_OF_TEXT)
    to_huggingface(loaded.model, out, eos_token_id=end)
    loaded.tokenizer.to_huggingface(out / _TOKENIZER)
    return loaded.step


def import_run(source: Path, out: Path) -> None:
    """Makes a run directory of a model and its tokenizer that `transformers` saved.

    `sample` reads it; it has no optimizer and no data, so that `train` can't resume it.

    Raises:
        FileNotFoundError: A file is missing in `source`.
        ValueError: `out` holds a run already, or `source` a model or tokenizer that is unlike ours.
    """
    if (out / "config.json").exists():
        raise ValueError(f"{out} holds a run already: name another directory")
    tokenizer = Tokenizer.from_huggingface(source / _TOKENIZER)
    model = from_huggingface(source)
    CheckpointManager(out / "checkpoints").save(0, model)
    tokenizer.save(out / _TOKENIZER)
    record = {
        "format": "groundup-import",
        "version": 1,
        "model": model.config.to_dict(),
        "tokenizer_hash": tokenizer.fingerprint,
    }
    with replace_file(out / "config.json") as file:  # last: what is no run before is one now
        file.write((json.dumps(record, indent=2) + "\n").encode())


def main() -> None:
    """Converts as the command line says; exits with 1 and a sentence on bad input."""
    config = tyro.cli(ConvertConfig, prog="python -m sample.convert")
    console = Console(highlight=False)
    try:
        if config.from_huggingface:
            import_run(config.source, config.out)
            console.print(f"next: uv run sample --run {config.out}")
        else:
            step = export_run(config.source, config.out, config.step)
            console.print(f"step {step:,} of {config.source} for transformers: {config.out}")
    except (ValueError, OSError) as error:
        message = Text("error: ", style="bold red").append(str(error), style="not bold default")
        Console(stderr=True, highlight=False).print(message, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
