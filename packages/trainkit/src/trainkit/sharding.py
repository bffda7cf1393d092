"""A model whose weights are divided among the ranks: each holds a part, and borrows the rest."""

from typing import TYPE_CHECKING

import torch
from nnparts import TransformerLM
from optimkit import is_sharded
from torch import nn

from trainkit.ranks import Ranks

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def shard_model(model: TransformerLM, ranks: Ranks) -> None:
    """Leave on each of `ranks` its part of the rows of every weight of `model`.

    PyTorch's FSDP2 (`fully_shard`; the idea is ZeRO's third stage, Rajbhandari et al. 2020, section
    5, https://arxiv.org/abs/1910.02054). The weights of a block are gathered before it computes and
    dropped behind it, and once more for its backward pass; each rank then gets its part of the
    gradient. Those outside of the blocks stay gathered from a forward pass to its backward pass,
    for the loss reads the head's. Names and state dict are those of the plain model, with torch's
    DTensor for each weight.

    Call it before the optimizer is made, whose state is then divided, too. Until this call each
    rank holds the whole model. Checkpoints of a divided model need torch 2.9.

    Args:
        model: on its device, the same weights on all ranks.
        ranks: two at least; all must call.

    Raises:
        ValueError: there is one rank, the model is no plain `TransformerLM`, or the ranks hold
            different weights.
    """
    if not ranks.are_many:
        raise ValueError("a model is divided among several ranks, there is one; leave it whole")
    if type(model) is not TransformerLM:
        raise ValueError(
            "only a TransformerLM can be divided, neither compiled nor wrapped, got"
            f" {type(model).__name__}"
        )
    from torch.distributed.device_mesh import init_device_mesh

    ranks.check_equal(0, model)
    _shard(model, init_device_mesh(next(model.parameters()).device.type, (ranks.size,)))


def is_sharded_model(model: nn.Module) -> bool:
    """Whether `shard_model` has divided `model`."""
    return any(is_sharded(parameter) for parameter in model.parameters())


@torch.no_grad()
def sharded_copy(model: TransformerLM) -> TransformerLM:
    """A copy of a divided `model`, divided alike, since torch's own `deepcopy` refuses."""
    weight = next(model.parameters())
    assert is_sharded(weight)
    twin = TransformerLM(model.config, device="meta", dtype=weight.dtype)
    _shard(twin, weight.device_mesh)
    twin.to_empty(device=weight.device)
    ours, theirs = ([*each.parameters(), *each.buffers()] for each in (twin, model))
    for our, their in zip(ours, theirs, strict=True):
        our.copy_(their)
    return twin


def _shard(model: TransformerLM, mesh: "DeviceMesh") -> None:
    # Not imported above: that takes a second, and few runs need it.
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    register_fsdp_forward_method(model, "hidden_states")  # what the loss calls
