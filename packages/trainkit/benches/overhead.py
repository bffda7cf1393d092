"""What `Trainer` costs over a loop written by hand: the same model, data, optimizer and clipping.

    uv run python packages/trainkit/benches/overhead.py

Both run in one process, in turns of `--steps` updates: a logger of the trainer's hands over at each
line of its metrics, so that the line is in the trainer's time, evaluation and saving in neither's.
The loop makes each batch when it needs it; the trainer does it on a thread, as it always does. At
each change the losses must be equal, bit for bit, or nothing is reported. The models are the
default run's (`stories`), whose short steps leave the most to see, and one of a single block.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from nnparts import TransformerConfig, TransformerLM
from optimkit import clip_grad_norm_
from trainkit import (
    Metrics,
    TokenDataset,
    TrainConfig,
    Trainer,
    learning_rate,
    make_optimizer,
)
from trainkit.loss import batch_loss

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import commit, memory_gib, processor, spread

VOCAB_SIZE = 1024
SHAPES = {
    "stories, 2 blocks of 128, batch 4 x 256": TransformerConfig(VOCAB_SIZE, 256, 128, 2, 8),
    "1 block of 64, batch 4 x 64": TransformerConfig(VOCAB_SIZE, 64, 64, 1, 4),
}


class LoopByHand:
    """The loop, as a logger of the trainer that it is compared with.

    Args:
        model: its own, equal to the trainer's.
        data: the trainer's.
        config: the trainer's.
    """

    def __init__(self, model: TransformerLM, data: TokenDataset, config: TrainConfig) -> None:
        self.model, self.data, self.config = model, data, config
        self.optimizer = make_optimizer(model, config)
        self.step, self.handed_over = 0, 0.0
        self.trainer_ms: list[float] = []
        self.by_hand_ms: list[float] = []

    def log(self, step: int, metrics: Metrics) -> None:
        """Take the turn: note the trainer's time, catch up with it, compare the losses."""
        if "loss" not in metrics:
            return
        begin = time.perf_counter()
        steps = step - self.step
        loss = self.catch_up(step)
        assert loss == metrics["loss"], f"step {step}: {loss} by hand, {metrics['loss']}"
        if self.handed_over and steps > 1:  # after the warm-up
            self.trainer_ms.append(1e3 * (begin - self.handed_over) / steps)
            self.by_hand_ms.append(1e3 * (time.perf_counter() - begin) / steps)
        self.handed_over = time.perf_counter()

    def catch_up(self, until: int) -> float:
        """Train to step `until`; the loss of its batch."""
        config, context_length = self.config, self.model.config.context_length
        loss = torch.tensor(torch.nan)
        while self.step < until:
            batch = self.data.batch(
                config.seed, self.step, config.batch_size, context_length, "cpu"
            )
            self.optimizer.zero_grad(set_to_none=True)
            loss = batch_loss(self.model, batch.inputs, batch.targets)
            loss.backward()
            clip_grad_norm_(self.model.parameters(), config.max_grad_norm)
            self.step += 1
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.step, config)
            self.optimizer.step()
        return loss.item()

    def close(self) -> None:
        """Nothing is open."""


def measure(shape: TransformerConfig, root: Path, *, steps: int, rounds: int) -> LoopByHand:
    """Train both for one turn to warm up and `rounds` turns; the loop with its notes."""
    token_ids = np.random.default_rng(0).integers(VOCAB_SIZE, size=1_000_000)
    np.save(root / "tokens.npy", token_ids.astype(np.uint16))
    data = TokenDataset(root / "tokens.npy")
    max_steps = steps * (rounds + 1)
    config = TrainConfig(
        max_steps=max_steps,
        batch_size=4,
        log_every=steps,
        eval_every=max_steps,
        eval_tokens=64,
        checkpoint_every=max_steps,
    )
    model = TransformerLM(shape, generator=torch.Generator().manual_seed(0))
    by_hand = LoopByHand(deepcopy(model), data, config)
    optimizer = make_optimizer(model, config)
    run_dir = root / f"run-{shape.d_model}"
    Trainer(model, optimizer, data, data, config, run_dir=run_dir, loggers=[by_hand]).train()
    return by_hand


def main() -> None:
    """Times in turns, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20, help="updates in a turn")
    arguments = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB; {platform.platform()}")
    print(f"commit {commit()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"\n| ms an update, {arguments.rounds} turns of {arguments.steps}: median (least-most) |")
    print("| model | by hand | Trainer | Trainer / by hand |\n| --- | --- | --- | --- |")
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as root:
            done = measure(shape, Path(root), steps=arguments.steps, rounds=arguments.rounds)
        pairs = zip(done.trainer_ms, done.by_hand_ms, strict=True)
        ratios = [trainer / by_hand for trainer, by_hand in pairs]
        print(f"| {name} | {spread(done.by_hand_ms)} | {spread(done.trainer_ms)} |", end="")
        print(f" {spread(ratios)} |")


if __name__ == "__main__":
    main()
