"""What a run will take, found by a small one: so that its length can be chosen as it begins."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import cast

import torch
from nnparts import TransformerConfig
from torch import nn

from trainkit.config import TrainConfig
from trainkit.dataset import TokenDataset
from trainkit.execution import Execution
from trainkit.loggers import Logger, Metrics
from trainkit.mixture import Mixture
from trainkit.model_state import unwrap
from trainkit.optimizer import make_optimizer
from trainkit.trainer import Trainer

_LAPS = 10
_EVAL_BATCHES = 8  # on which an evaluation is timed; the whole one is told from them


@dataclass(frozen=True)
class Pace:
    """What the parts of a run take, in seconds of wall time."""

    update: float
    """An update, with all that a `Trainer` does for it."""
    evaluation: float
    """An evaluation, with what loggers do about it and a checkpoint."""

    def updates_within(self, seconds: float, eval_every: int) -> int:
        """The most updates, at least 1, that fit into `seconds` with their evaluations.

        There is one after each `eval_every` updates and after the last.
        """
        whole, rest = divmod(seconds, eval_every * self.update + self.evaluation)
        return max(1, int(whole) * eval_every + max(0, int((rest - self.evaluation) / self.update)))


def rehearse(
    model: nn.Module,
    train_data: TokenDataset | Mixture,
    valid_data: TokenDataset,
    config: TrainConfig,
    execution: Execution,
    *,
    updates: int,
    directory: Path,
    make_loggers: Callable[[Path], Iterable[Logger]] = lambda run_dir: (),
    clock: Callable[[], float] = time.perf_counter,
) -> Pace:
    """Let a `Trainer` make a few updates and one evaluation, and time them.

    At a learning rate of 0, which moves no weight; model and random state stay untouched. Updates
    are timed in laps, of which the median counts: when something else kept the machine busy for
    some seconds of a rehearsal, their mean once made 15 minutes end after 8. A lap before the first
    is not timed, for in it something may be compiled, and memory is taken. An evaluation is timed
    on its first few batches.

    Args:
        model: as it will be trained.
        train_data: as for `Trainer`.
        valid_data: as for `Trainer`.
        config: of the run that is to come.
        execution: how it is computed.
        updates: that are timed, at least.
        directory: where a run directory is made for a while.
        make_loggers: the loggers of the run, given its directory.
        clock: gives the time, in seconds.

    Raises:
        ValueError: `updates` is below 1; or as `Trainer`.
        AnomalyError: as `Trainer.train`.
    """
    if updates < 1:
        raise ValueError(f"a pace needs at least 1 update to be timed, got {updates}")
    predicted = min(config.eval_tokens or len(valid_data), len(valid_data) - 1)
    rehearsed = min(predicted, _EVAL_BATCHES * config.micro_batch_size * _context_length(model))
    lap = math.ceil(updates / _LAPS)
    stopwatch = _Stopwatch(clock)
    device = next(model.parameters()).device
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices),
        TemporaryDirectory(prefix="rehearsal-", dir=directory) as run_dir,
    ):
        Trainer(
            model,
            make_optimizer(model, config),
            train_data,
            valid_data,
            _rehearsal_config(
                config, lap, lap * (1 + math.ceil(updates / lap)), eval_tokens=rehearsed
            ),
            run_dir=run_dir,
            execution=execution,
            loggers=[stopwatch, *make_loggers(Path(run_dir))],
        ).train()
        end = clock()
    model.zero_grad(set_to_none=True)
    *updated, (_, evaluated) = stopwatch.times
    evaluation = (evaluated - updated[-1][1]) * predicted / rehearsed + (end - evaluated)
    return Pace(_update_seconds(updated, lap), evaluation)


def _update_seconds(times: list[tuple[int, float]], lap: int) -> float:
    """Of an update, from the (step, time) of some: by the median of laps, the first left out."""
    ends = [time for step, time in times if step % lap == 0]
    return median(end - start for start, end in pairwise(ends)) / lap


class _Stopwatch:
    """A logger that notes when it is told of which step."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.times: list[tuple[int, float]] = []

    def log(self, step: int, metrics: Metrics) -> None:
        self.times.append((step, self._clock()))

    def close(self) -> None:
        pass


def _rehearsal_config(
    config: TrainConfig, lap: int, updates: int, *, eval_tokens: int
) -> TrainConfig:
    """`config` for so many updates that learn nothing, logged after each lap."""
    at_end = dict.fromkeys(("eval_every", "checkpoint_every", "max_steps"), updates)
    return replace(
        config,
        **at_end,
        log_every=lap,
        eval_tokens=eval_tokens,
        schedule="constant",
        max_lr=0.0,
        min_lr=0.0,
        warmup_steps=0,
        decay_steps=None,
        on_anomaly="stop",
        spike_sigmas=None,
        patience=None,
    )


def _context_length(model: nn.Module) -> int:
    return cast(TransformerConfig, unwrap(model).config).context_length
