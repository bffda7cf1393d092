"""How many updates a time is enough for: measured, so that a run's length is known as it begins."""

import time
from statistics import median

import torch
from torch import nn

from trainkit.batch import Batch
from trainkit.config import TrainConfig
from trainkit.execution import Execution
from trainkit.optimizer import make_optimizer
from trainkit.step import Stepper

_ROUNDS = 5
_SHARE = 0.95  # of the time, for updates; the rest is for evaluations, checkpoints and metrics


def updates_within(
    seconds: float, model: nn.Module, batch: Batch, config: TrainConfig, execution: Execution
) -> int:
    """The updates of `model` that take about `seconds`, at least 1.

    A few are made, and the median counts: with all that a step has, at a learning rate of 0, which
    moves no weight. A twentieth of the time is left for what comes between the updates. Model and
    random state stay untouched.

    Args:
        seconds: of wall time.
        model: on the device of `execution`.
        batch: the sequences of one update, on the same device.
        config: the optimizer, the clipping norm, the micro batches.
        execution: how it is computed; what must be compiled for it is compiled first, untimed.
    """
    stepper = Stepper(model, make_optimizer(model, config), config, execution)
    devices = [execution.device] if execution.device.startswith("cuda") else []
    times: list[float] = []
    with torch.random.fork_rng(devices):
        for number in range(1 + _ROUNDS):
            begun = time.perf_counter()
            stepper.compute_gradients(batch, number).loss.item()  # waits for the device
            stepper.apply(0.0)
            times.append(time.perf_counter() - begun)
    model.zero_grad(set_to_none=True)
    return max(1, int(_SHARE * seconds / median(times[1:])))
