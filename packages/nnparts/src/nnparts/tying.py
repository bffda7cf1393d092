"""Two modules with one weight, through everything that would give each a weight of its own."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


def tie_weights(model: nn.Module, owner: str, other: str) -> None:
    """Let the child `other` of `model` use the weight of its child `owner`, now and after loading.

    Press and Wolf 2017 (https://arxiv.org/abs/1608.05859): the table that embeds token ids also
    scores them. A state dict has the weight under both names. One that has it under a single name
    loads, too; one whose two weights differ raises ValueError, as one would be lost.

    A conversion that makes new parameters, `to_empty` from meta, makes two: call `share_weight`
    behind it.
    """
    share_weight(model, owner, other)
    model.register_load_state_dict_pre_hook(partial(_give_one_weight, owner=owner, other=other))
    # `assign=True` puts a parameter under each name.
    model.register_load_state_dict_post_hook(lambda module, _: share_weight(module, owner, other))


def share_weight(model: nn.Module, owner: str, other: str) -> None:
    """Put the weight of the child `owner` into the child `other`."""
    model.get_submodule(other).weight = model.get_submodule(owner).weight


def _give_one_weight(
    module: nn.Module, state: dict[str, Any], prefix: str, *_: object, owner: str, other: str
) -> None:
    """Fill in the name that a state dict lacks, and refuse two weights that differ."""
    names = [f"{prefix}{child}.weight" for child in (owner, other)]
    found: list[Tensor] = [state[name] for name in names if name in state]
    if len(found) == 1:
        state.update(dict.fromkeys(names, found[0]))
    elif len(found) == 2 and not _are_equal(*found):
        raise ValueError(
            f"{names[0]} and {names[1]} are tied in this model, but differ in the state dict:"
            " it is of a model with tied_embeddings=False"
        )


def _are_equal(first: Tensor, second: Tensor) -> bool:
    if first.is_meta or second.is_meta or first.data_ptr() == second.data_ptr():
        return first.shape == second.shape
    return torch.equal(first, second.to(first.device))
