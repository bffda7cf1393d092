"""Losses and gradients that nothing good can be learnt from: how they are known, what is kept."""

import json
import math
from pathlib import Path

import numpy as np
from torch import nn

from trainkit.atomic import replace_file
from trainkit.batch import Batch
from trainkit.model_state import plain_name, unwrap


class AnomalyError(FloatingPointError):
    """The loss or the gradient is not finite, or spiked, and the run stops for it."""


def describe_anomaly(
    loss: float, grad_norm: float, recent_losses: list[float], sigmas: float | None, window: int
) -> str | None:
    """What is wrong with a step, in words; None if nothing is.

    A spike is loss > mean + sigmas std, of the `window` losses before (the root of their mean
    squared deviation); with fewer than these nothing is one.

    Args:
        loss: of the step, nats a token.
        grad_norm: of all its gradients, before clipping.
        recent_losses: of usual steps before, at most `window`.
        sigmas: standard deviations that a loss may lie above the mean; None: any number.
        window: losses that are needed to judge.
    """
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        return f"the loss is {loss} and the gradient's norm {grad_norm}"
    if sigmas is None or len(recent_losses) < window:
        return None
    mean, std = float(np.mean(recent_losses)), float(np.std(recent_losses))
    if loss <= mean + sigmas * std:
        return None
    return (
        f"the loss is {loss:.4g}, more than {sigmas:g} standard deviations ({std:.2g}) above "
        f"{mean:.4g}, the mean of the last {window}"
    )


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """The Euclidean norm of each parameter's gradient; those without one are left out."""
    named = unwrap(model).named_parameters()
    return {
        plain_name(name): float(parameter.grad.float().norm())
        for name, parameter in named
        if parameter.grad is not None
    }


def write_anomaly(
    directory: Path, *, step: int, batch_number: int, batch: Batch, **facts: object
) -> Path:
    """Save what is needed to study an anomaly, as JSON; numbers that are not finite as words.

    Args:
        directory: made if need be.
        step: the update that the batch was for; it names the file.
        batch_number: of the batch in the order of the data; named, too, where it isn't step - 1.
        batch: what was to be learnt from.
        **facts: what else is known.

    Returns:
        The file, `step-000123.json`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    suffix = "" if batch_number == step - 1 else f"-batch-{batch_number:06d}"
    path = directory / f"step-{step:06d}{suffix}.json"
    ids = {name: tensor.tolist() for name, tensor in batch._asdict().items() if tensor is not None}
    content = {"step": step, "batch_number": batch_number, **facts, "batch": ids}
    with replace_file(path) as file:
        file.write(json.dumps(_finite(content), allow_nan=False).encode() + b"\n")
    return path


def _finite(value: object) -> object:
    """`value` with words for numbers that JSON doesn't have."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
