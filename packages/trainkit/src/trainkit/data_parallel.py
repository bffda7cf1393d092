"""Gradients of a loss that several ranks compute together."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# Torch 2.15's name, and that of the torches before, which 2.15 deprecates.
_SYNCS_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
)


class _Loss(nn.Module):
    """A loss as a module, since it is a module's call that torch wraps."""

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, inputs: Tensor, targets: Tensor, **told: Any) -> Tensor:
        return self._loss(self.model, inputs, targets, **told)


def data_parallel(model: nn.Module, loss: Callable[..., Tensor]) -> DistributedDataParallel:
    """`loss` of `model`, whose backward pass leaves the mean over all ranks in `.grad`.

    torch's DistributedDataParallel (Li et al. 2020, https://arxiv.org/abs/2006.15704): gradients
    travel in buckets while those of the layers below are still computed. It holds the loss, not
    the model: a `TransformerLM` that isn't wrapped never holds its logits (see `batch_loss`), and
    evaluation, checkpoints and averages see the plain model.

    Args:
        model: the same weights on all ranks.
        loss: called as `loss(model, inputs, targets, ...)`.
    """
    # Buffers are computed alike on all ranks and never learnt. Weights are compared, not sent:
    # were one rank's wrong, that should be known, not mended in silence (`Ranks.check_equal`).
    syncs: dict[str, Any] = {_SYNCS_BUFFERS: False, "init_sync": False}
    return DistributedDataParallel(_Loss(model, loss), gradient_as_bucket_view=True, **syncs)
