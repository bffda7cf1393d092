"""Tensors of which each process holds a part (torch's DTensor, as FSDP makes them)."""

import sys
from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether `tensor` is divided among processes."""
    # Not imported to ask: that takes a second, and who has such a tensor has done it.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local_part(tensor: Tensor) -> Tensor:
    """The part of `tensor` that is here, its own memory; all of it where it isn't divided."""
    return tensor.to_local().detach() if is_sharded(tensor) else tensor


def gathered(tensor: Tensor) -> Tensor:
    """The whole of `tensor`, on every process; all that have a part of it must call."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def divided_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """`tensor`, the same on every process, divided among them as `pattern` is; nothing is sent."""
    if not is_sharded(pattern):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = pattern.device_mesh, pattern.placements
    return distribute_tensor(tensor.to(pattern.device), mesh, placements, src_data_rank=None)


def with_local_part(tensor: "DTensor", part: Tensor) -> Tensor:
    """A tensor divided as `tensor` is, of which `part` is what is here."""
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        part,
        tensor.device_mesh,
        tensor.placements,
        run_check=False,
        shape=tensor.shape,
        stride=tensor.stride(),
    )


def norm_of_all(norm: Tensor, tensors: list[Tensor]) -> Tensor:
    """The Euclidean norm of `tensors`, given that of their local parts.

    Raises:
        ValueError: some are divided and others are not, or among other processes.
    """
    if not any(map(is_sharded, tensors)):
        return norm
    from torch.distributed.tensor import DTensor, Partial, Replicate

    layouts = {(t.device_mesh, t.placements) if is_sharded(t) else None for t in tensors}
    [layout, *others] = layouts
    if layout is None or others:
        raise ValueError(
            f"gradients must be divided among the same processes in one way, got {layouts}; clip"
            " those of each kind for themselves"
        )
    mesh, placements = layout
    # What a dimension of the mesh only repeats counts once.
    partial = [Partial() if each.is_shard() else Replicate() for each in placements]
    return DTensor.from_local(norm.square(), mesh, partial, run_check=False).full_tensor().sqrt()
