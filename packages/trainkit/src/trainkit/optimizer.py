"""The optimizer that a `TrainConfig` describes."""

from optimkit import AdamW, Muon, muon_groups, parameter_groups
from torch import nn
from torch.optim import Optimizer

from trainkit.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimizer over `model`'s parameters, with the hyperparameters in `config`.

    "adamw" is AdamW over `parameter_groups`; "muon" is Muon over `muon_groups`, whose AdamW groups
    take AdamW's hyperparameters.

    Raises:
        ValueError: Muon for a model that has no hidden matrices.
    """
    betas = config.beta1, config.beta2
    if config.optimizer == "adamw":
        return AdamW(
            parameter_groups(model, config.weight_decay),
            lr=config.max_lr,
            betas=betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
        )
    groups = muon_groups(model, config.weight_decay)
    for group in groups:
        if group["rule"] == "adamw":  # Muon's own eps is that of Newton-Schulz
            group["eps"] = config.eps
    return Muon(groups, lr=config.max_lr, momentum=config.momentum, betas=betas)
