"""Losses and gradients that nothing good can be learnt from: how they are known, what is kept."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from optimkit import gradient_norms
from torch import Tensor, nn

from trainkit.atomic import replace_file
from trainkit.batch import Batch
from trainkit.config import TrainConfig
from trainkit.model_state import plain_name, unwrap
from trainkit.progress import Progress
from trainkit.step import Slope


class AnomalyError(FloatingPointError):
    """The loss or the gradient is not finite, or spiked, and the run stops for it."""


class AnomalyWatch:
    """Judges the steps of a run, and keeps what is needed to study those that are anomalies.

    Args:
        config: what a spike is.
        directory: where records go, made if need be.
    """

    def __init__(self, config: TrainConfig, directory: Path) -> None:
        self._config, self._directory = config, directory

    def judge(self, slope: Slope, progress: Progress) -> str | None:
        """What is wrong with a step, in words; else its loss becomes one of the usual ones."""
        window = self._config.spike_window
        loss, grad_norm = float(slope.loss), float(slope.grad_norm)
        sigmas = self._config.spike_sigmas if len(progress.recent_losses) >= window else None
        problem = find_anomaly(loss, grad_norm, progress.recent_losses, sigmas)
        if problem is None:
            progress.note_loss(loss, window)
        return problem

    def record(
        self,
        problem: str,
        slope: Slope,
        batch: Batch,
        progress: Progress,
        *,
        gradient_norms: dict[str, float],
        step: int,
        batch_number: int,
    ) -> str:
        """Save an anomaly as `step-000123.json`; a sentence that says where.

        Args:
            problem: what is wrong.
            slope: of the batch.
            batch: what was to be learnt from.
            progress: of the run; the losses before are told.
            gradient_norms: of the batch, by the names of the parameters; before clipping.
            step: the update that the batch was for.
            batch_number: of the batch in the order of the data; it is part of the name where
                batches were passed over.
        """
        suffix = "" if batch_number == step - 1 else f"-batch-{batch_number:06d}"
        path = self._directory / f"step-{step:06d}{suffix}.json"
        fields = batch._asdict().items()
        content = {
            "step": step,
            "batch_number": batch_number,
            "problem": problem,
            "seed": self._config.seed,
            "loss": float(slope.loss),
            "grad_norm": float(slope.grad_norm),
            "gradient_norms": gradient_norms,
            "recent_losses": progress.recent_losses,
            "batch": {name: ids.tolist() for name, ids in fields if ids is not None},
        }
        self._directory.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as file:
            file.write(json.dumps(_finite(content), allow_nan=False).encode() + b"\n")
        return f"at step {step} {problem}; see {path}"


def find_anomaly(
    loss: float,
    grad_norm: float,
    recent_losses: Sequence[float] = (),
    sigmas: float | None = None,
) -> str | None:
    """What is wrong with a step, in words; None if nothing is.

    A spike is loss > mean + sigmas std of the losses before, std being the root of their mean
    squared deviation.

    Args:
        loss: of the step, nats a token.
        grad_norm: of all its gradients, before clipping.
        recent_losses: of usual steps before.
        sigmas: standard deviations that a loss may lie above the mean; None: any number.
    """
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        return f"the loss is {loss} and the gradient's norm {grad_norm}"
    if sigmas is None:
        return None
    mean, std = float(np.mean(recent_losses)), float(np.std(recent_losses))
    if loss <= mean + sigmas * std:
        return None
    return (
        f"the loss is {loss:.4g}, more than {sigmas:g} standard deviations ({std:.2g}) above "
        f"{mean:.4g}, the mean of the last {len(recent_losses)}"
    )


def named_gradient_norms(model: nn.Module, row_norms: Tensor) -> dict[str, float]:
    """The Euclidean norm of each parameter's gradient, from those of its rows (`Slope`).

    Of a model that is divided among ranks all must call.
    """
    plain = unwrap(model)
    norms = map(float, gradient_norms(plain.parameters(), row_norms))
    return {
        plain_name(name): norm
        for (name, _), norm in zip(plain.named_parameters(), norms, strict=True)
    }


def _finite(value: object) -> object:
    """`value` with words for numbers that JSON doesn't have."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
