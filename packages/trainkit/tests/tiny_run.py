"""A run small enough for tests, the same in this process and in one that a test kills.

As a program it resumes the run in the directory that it is given, and trains it to its end.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnparts import TransformerConfig, TransformerLM
from trainkit import (
    Execution,
    Mixture,
    Order,
    Ranks,
    TokenDataset,
    TrainConfig,
    Trainer,
    make_optimizer,
)

VOCAB_SIZE = 17
# What the preset `tales` trains by, but for its numbers; its data are a mixture, in epochs.
TALES = {
    "optimizer": "muon",
    "embedding_lr_scale": 9.6,
    "outer_lr_scale": 0.8,
    "schedule": "linear",
    "ema_decay": 0.9,
}


def make_data(
    directory: Path, name: str, token_count: int, *, order: Order = "random", seed: int = 0
) -> TokenDataset:
    path = directory / f"{name}.npy"
    if not path.exists():
        token_ids = np.random.default_rng(seed).integers(VOCAB_SIZE, size=token_count)
        np.save(path, token_ids.astype(np.uint16))
        counts = {"token_count": token_count, "byte_count": 4 * token_count, "document_count": 1}
        header = {"format": "groundup-tokens", "version": 1, "dtype": "uint16"}
        tokenizer = {"vocab_size": VOCAB_SIZE, "tokenizer_hash": "abc"}
        path.with_suffix(".json").write_text(json.dumps(header | counts | tokenizer))
    return TokenDataset(path, order=order)


def make_train_data(directory: Path, order: Order, mixed: bool) -> TokenDataset | Mixture:
    """Of one file, or each third sequence of another."""
    data = make_data(directory, "train", 500, order=order)
    if not mixed:
        return data
    return Mixture([(data, 2.0), (make_data(directory, "other", 200, order=order, seed=1), 1.0)])


def make_model(**changes: Any) -> TransformerLM:
    fields = {"context_length": 8, "d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 32}
    shape = TransformerConfig(vocab_size=VOCAB_SIZE, **(fields | changes))
    return TransformerLM(shape, generator=torch.Generator().manual_seed(0))


def make_trainer(
    directory: Path,
    *,
    model: torch.nn.Module | None = None,
    run: str = "run",
    loggers: tuple[Any, ...] = (),
    execution: dict[str, Any] | None = None,
    ranks: Ranks | None = None,
    tales: bool = False,
    order: Order = "random",
    mixed: bool = False,
    is_locked: bool = False,
    **changes: Any,
) -> Trainer:
    fields = {"max_steps": 20, "batch_size": 4, "warmup_steps": 3, "log_every": 3, "max_lr": 1e-2}
    every = {"eval_every": 5, "checkpoint_every": 5, "min_lr": 1e-3}
    if tales:
        order, mixed, changes = "epoch", True, TALES | changes
    config = TrainConfig(**(fields | every | changes))
    model = model or make_model()
    return Trainer(
        model,
        make_optimizer(model, config),
        make_train_data(directory, order, mixed),
        make_data(directory, "valid", 60),
        config,
        run_dir=directory / run,
        execution=Execution(**(execution or {})),
        loggers=loggers,
        ranks=ranks,
        is_locked=is_locked,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    trainer = make_trainer(Path(sys.argv[1]), run=sys.argv[2], **json.loads(sys.argv[3]))
    trainer.resume()
    trainer.train()
