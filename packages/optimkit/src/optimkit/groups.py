"""Parameter groups made from a model: what decays, and what Muon is for."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from optimkit.checks import require

Group = dict[str, Any]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[Group]:
    """Two groups of `model`'s trainable parameters: matrices that decay, the rest that does not.

    Decay keeps small what a product sums over. A gain or a bias has fewer than two dimensions, and
    its resting place is 1, or wherever the data lies. A row of an embedding (of a module that has
    `num_embeddings`, as torch's have) is looked up: decay would only wear it down between two
    sights of its token. A head that is tied to an embedding is one.

    Args:
        model: whose parameters are taken, each once and in its order, unless they are frozen.
        weight_decay: of the first group; the second's is 0.

    Returns:
        Parameter groups as torch's optimizers take them; an empty group is left out.
    """
    decaying, resting = _split(_trained(model), _decays(model))
    return _filled(
        {"params": decaying, "weight_decay": weight_decay},
        {"params": resting, "weight_decay": 0.0},
    )


def muon_groups(model: nn.Module, weight_decay: float) -> list[Group]:
    """`parameter_groups` for `Muon`: hidden matrices apart, and AdamW for all others.

    A hidden matrix decays, has two dimensions and stands in the stack of layers (an
    `nn.ModuleList`). The head comes after the stack: it is AdamW's, as embeddings and gains are
    (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    Args:
        model: as for `parameter_groups`.
        weight_decay: of the hidden matrices and the head.

    Returns:
        Parameter groups as `Muon` takes them; an empty group is left out.

    Raises:
        ValueError: there is no hidden matrix.
    """
    stacks = _stacks(model)
    is_stacked = _is_among(stacks)
    decaying, resting = _split(_trained(model), _decays(model))
    hidden, others = _split(decaying, lambda each: each.ndim == 2 and is_stacked(each))
    require(
        bool(hidden),
        "Muon needs hidden matrices: trainable, in an nn.ModuleList, no embeddings; use AdamW, or "
        "make the groups by hand",
        stacks=len(stacks),
    )
    return _filled(
        {"params": hidden, "weight_decay": weight_decay, "rule": "muon"},
        {"params": others, "weight_decay": weight_decay, "rule": "adamw"},
        {"params": resting, "weight_decay": 0.0, "rule": "adamw"},
    )


def scale_outer_groups(
    groups: list[Group],
    model: nn.Module,
    lr_scale: float,
    *,
    embedding_lr_scale: float | None = None,
) -> list[Group]:
    """Each of `groups` in up to three: the stack of layers, embeddings, and what else is outside.

    Those outside carry `lr_scale`: whoever sets the learning rate of a group multiplies by it.
    Where they begin better than the layers do, the rate that suits layers would shake them. A row
    of an embedding has a gradient only when its token comes, so it may want a faster rate than the
    head, all of which learns from every token.

    Args:
        groups: of `model`'s parameters, as `parameter_groups` and `muon_groups` make them.
        model: with its layers in an `nn.ModuleList`.
        lr_scale: above 0.
        embedding_lr_scale: of embeddings, tied to a head or not, above 0; `lr_scale` if None.

    Returns:
        Parameter groups as torch's optimizers take them; an empty group is left out.

    Raises:
        ValueError: a scale isn't above 0.
    """
    require(lr_scale > 0, "a share of the learning rate must be above 0", lr_scale=lr_scale)
    if embedding_lr_scale is None:
        embedding_lr_scale = lr_scale
    require(
        embedding_lr_scale > 0,
        "a share of the learning rate must be above 0",
        embedding_lr_scale=embedding_lr_scale,
    )
    is_stacked, is_embedding = _is_among(_stacks(model)), _is_embedding(model)
    scaled: list[Group] = []
    for group in groups:
        stacked, outer = _split(group["params"], is_stacked)
        tables, others = _split(outer, is_embedding)
        if embedding_lr_scale == lr_scale:
            tables, others = [], outer
        scaled += [
            {**group, "params": stacked},
            {**group, "params": tables, "lr_scale": embedding_lr_scale},
            {**group, "params": others, "lr_scale": lr_scale},
        ]
    return _filled(*scaled)


def _stacks(model: nn.Module) -> list[nn.ModuleList]:
    return [module for module in model.modules() if isinstance(module, nn.ModuleList)]


def _is_among(modules: Iterable[nn.Module]) -> Callable[[nn.Parameter], bool]:
    found = {id(parameter) for module in modules for parameter in module.parameters()}
    return lambda parameter: id(parameter) in found


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _is_embedding(model: nn.Module) -> Callable[[nn.Parameter], bool]:
    embeddings = [module for module in model.modules() if hasattr(module, "num_embeddings")]
    tables = {id(p) for module in embeddings for p in module.parameters(recurse=False)}
    return lambda parameter: id(parameter) in tables


def _decays(model: nn.Module) -> Callable[[nn.Parameter], bool]:
    is_embedding = _is_embedding(model)
    return lambda parameter: parameter.ndim >= 2 and not is_embedding(parameter)


def _split(
    parameters: Iterable[nn.Parameter], holds: Callable[[nn.Parameter], bool]
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Those for which it `holds`, and the others."""
    sides: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for parameter in parameters:
        sides[not holds(parameter)].append(parameter)
    return sides


def _filled(*groups: Group) -> list[Group]:
    return [group for group in groups if group["params"]]
