"""Limits on the size of a gradient."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from optimkit.checks import require


@torch.no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, *, eps: float = 1e-6
) -> Float[Tensor, ""]:
    """Scale all gradients in place by min(1, max_norm / (norm + eps)).

    The norm is the Euclidean one of all gradients as one vector, summed in fp32 at least. Pascanu
    et al. 2013, algorithm 1 (https://arxiv.org/abs/1211.5063).

    Nothing waits for a GPU, so nothing is raised for a gradient that isn't finite: the norm that
    is returned says so, and the gradients are of no use then (NaN, or 0 beside an infinity).

    Args:
        parameters: a tensor or many; those without a gradient are skipped.
        max_norm: the limit, in the unit of the gradient; `math.inf` only measures.
        eps: keeps the quotient finite at norm 0.

    Returns:
        The norm before clipping, a scalar on the device of the first gradient; 0 if there is none.

    Raises:
        ValueError: `max_norm` is negative or NaN, or `eps` isn't positive.
    """
    require(max_norm >= 0, "max_norm must not be negative", max_norm=max_norm)
    require(eps > 0, "eps must be positive", eps=eps)
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not grads:
        return torch.tensor(0.0)
    norm = _norm(torch.stack([_norm(grad).to(grads[0].device) for grad in grads]))
    scale = (max_norm / (norm + eps)).clamp(max=1)
    for grad in grads:
        grad.mul_(scale.to(grad.device))
    return norm


def _norm(x: Tensor) -> Tensor:
    """The Euclidean norm, a scalar in fp32 at least."""
    return torch.linalg.vector_norm(x, dtype=torch.promote_types(x.dtype, torch.float32))
