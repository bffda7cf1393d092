"""The optimizer that a `TrainConfig` describes."""

from typing import Any

from optimkit import AdamW
from torch import nn

from trainkit.config import TrainConfig


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups of `model`'s trainable parameters: matrices that decay, the rest that does not.

    Decay keeps weights small; a norm's gain is a scale, whose resting place is 1 and not 0.

    Returns:
        Parameter groups as torch's optimizers take them; an empty group is left out.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(model: nn.Module, config: TrainConfig) -> AdamW:
    """AdamW over `parameter_groups` with the hyperparameters in `config`."""
    return AdamW(
        parameter_groups(model, config.weight_decay),
        lr=config.max_lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
    )
