"""A run directory, read back: the model, its tokenizer, and where it stands."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from nnparts import TransformerConfig, TransformerLM
from tok import Tokenizer
from trainkit import CheckpointManager


@dataclass(frozen=True)
class LoadedRun:
    """A trained model with the tokenizer it was trained on."""

    model: TransformerLM
    tokenizer: Tokenizer
    step: int


def newest_run(parent: Path = Path("runs")) -> Path:
    """The run directory under `parent` that was started last.

    Raises:
        FileNotFoundError: There is none.
    """
    runs = sorted(parent.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise FileNotFoundError(f"no run under {parent}/; make one with `uv run train`")
    return runs[-1].parent


def load_run(directory: Path, device: torch.device, step: int | None = None) -> LoadedRun:
    """Reads a run directory that `train` wrote.

    Args:
        directory: Holds `config.json`, `tokenizer.json` and `checkpoints/`.
        device: Where the model goes.
        step: Which checkpoint; None for the latest.

    Raises:
        FileNotFoundError: The directory, one of its files, or the checkpoint is not there.
        ValueError: A tokenizer other than the one the model was trained on, or a damaged file.
    """
    config_path = directory / "config.json"
    if not config_path.is_file():
        raise FileNotFoundError(f"{directory} is no run directory: it has no config.json")
    config = json.loads(config_path.read_text("utf-8"))
    tokenizer = Tokenizer.load(directory / "tokenizer.json")
    if tokenizer.fingerprint != config["tokenizer_hash"]:
        raise ValueError(
            f"{directory / 'tokenizer.json'} is not the tokenizer of this run: its hash is"
            f" {tokenizer.fingerprint[:12]}, the run's {config['tokenizer_hash'][:12]}"
        )
    model = TransformerLM(TransformerConfig.from_dict(config["model"]), device=device)
    state = CheckpointManager(directory / "checkpoints").load(model, step=step)
    return LoadedRun(model.eval(), tokenizer, state.step)
