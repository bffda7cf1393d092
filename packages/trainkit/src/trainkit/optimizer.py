"""The optimizer that a `TrainConfig` describes."""

from typing import Any

from optimkit import AdamW, Muon, muon_groups, parameter_groups, scale_outer_groups
from torch import nn
from torch.optim import Optimizer

from trainkit.config import TrainConfig
from trainkit.ranks import Ranks


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimizer over `model`'s parameters, with the hyperparameters in `config`.

    "adamw" is AdamW over `parameter_groups`; "muon" is Muon over `muon_groups`, whose AdamW groups
    take AdamW's hyperparameters. `outer_lr_scale` and `embedding_lr_scale` stand in the groups, for
    who sets their rates.

    Raises:
        ValueError: Muon for a model that has no hidden matrices.
    """
    betas = config.beta1, config.beta2
    if config.optimizer == "adamw":
        return AdamW(
            _scaled(parameter_groups(model, config.weight_decay), model, config),
            lr=config.max_lr,
            betas=betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
        )
    groups = muon_groups(model, config.weight_decay)
    for group in groups:
        if group["rule"] == "adamw":  # Muon's own eps is that of Newton-Schulz
            group["eps"] = config.eps
    return Muon(
        _scaled(groups, model, config), lr=config.max_lr, momentum=config.momentum, betas=betas
    )


def _scaled(
    groups: list[dict[str, Any]], model: nn.Module, config: TrainConfig
) -> list[dict[str, Any]]:
    # At 1 groups stay as they are, and so does what checkpoints hold of them.
    if _parts_of_group(config) == 1:
        return groups
    scale, of_embeddings = config.outer_lr_scale, config.embedding_lr_scale
    return scale_outer_groups(groups, model, scale, embedding_lr_scale=of_embeddings)


def groups_alike(one: TrainConfig, other: TrainConfig) -> bool:
    """Whether scales of the learning rate part the groups of `make_optimizer` alike for both.

    The state of one optimizer can be loaded into another of the same groups alone.
    """
    return _parts_of_group(one) == _parts_of_group(other)


def _parts_of_group(config: TrainConfig) -> int:
    """1: it stays whole. 2: the layers, and what stands outside. 3: of that, embeddings apart."""
    scale, of_embeddings = config.outer_lr_scale, config.embedding_lr_scale
    if of_embeddings not in (None, scale):
        return 3
    return 1 if scale == 1 else 2


def agree_on_precision(optimizer: Optimizer, ranks: Ranks) -> None:
    """Let all ranks compute Muon's products as the first does: each has measured for itself."""
    precisions = ranks.from_first(lambda: [g.get("precision") for g in optimizer.param_groups])
    for group, precision in zip(optimizer.param_groups, precisions, strict=True):
        if "precision" in group:
            group["precision"] = precision


def set_hyperparameters(optimizer: Optimizer, model: nn.Module, config: TrainConfig) -> None:
    """Give `optimizer`, one of `make_optimizer`, the hyperparameters in `config`; no state changes.

    For a run that goes on by another config: a checkpoint brings back those that it was saved with.

    Raises:
        ValueError: `config` names another kind of optimizer, or groups parameters otherwise.
    """
    wanted = make_optimizer(model, config)
    sizes = [[len(group["params"]) for group in each.param_groups] for each in (optimizer, wanted)]
    if type(optimizer) is not type(wanted) or sizes[0] != sizes[1]:
        raise ValueError(
            f"the optimizer is {type(optimizer).__name__} over groups of {sizes[0]} parameters, the"
            f" config's {type(wanted).__name__} over groups of {sizes[1]}; begin a new run"
        )
    kept = {"params", "precision"}  # Muon's was measured: on a busy machine the answer changes
    for group, new in zip(optimizer.param_groups, wanted.param_groups, strict=True):
        group |= {name: value for name, value in new.items() if name not in kept}
