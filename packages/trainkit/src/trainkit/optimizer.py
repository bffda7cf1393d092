"""The optimizer that a `TrainConfig` describes."""

from optimkit import AdamW, parameter_groups
from torch import nn

from trainkit.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> AdamW:
    """AdamW over `parameter_groups` with the hyperparameters in `config`."""
    return AdamW(
        parameter_groups(model, config.weight_decay),
        lr=config.max_lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
    )
