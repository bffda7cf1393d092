"""Cross-entropy straight from the hidden states: the logits are never there as a whole."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from nnparts.autocast import product_dtype
from nnparts.checks import require_ids_below

CHUNK = 512
"""Rows at a time: with 10,000 classes 20 MB of logits, half a processor's last cache. 256 to 2,048
rows are within noise of one another (2,048 rows at d_model 512), 128 lose a tenth."""


def chunked_cross_entropy(
    hidden: Float[Tensor, "... d_model"],
    head_weight: Float[Tensor, "vocab_size d_model"],
    targets: Int[Tensor, "..."],
    *,
    chunk: int = CHUNK,
    soft_cap: float | None = None,
) -> Float[Tensor, ""]:
    """`cross_entropy(hidden @ head_weight.T, targets)`, `chunk` rows of logits at a time.

    With p = softmax(z) and z = W h, the gradient of -log p_t is p - onehot(t) by z, so W^T times
    that by h. It needs the logits' own rows alone: so each chunk gives its share of the loss and of
    both gradients in the forward pass, and its logits are dropped. The backward pass scales. As
    many products as by `cross_entropy`, and less memory: some 3 times `(..., vocab_size)` there,
    3 times `(chunk, vocab_size)` and the gradients here.

    Under autocast the products are computed in its dtype; sums run in fp32 at least.

    Args:
        hidden: what the head is applied to, `(..., d_model)`.
        head_weight: `(vocab_size, d_model)`.
        targets: the right ids, `(...)`, int64, each in [0, vocab_size).
        chunk: rows of logits at a time, at least 1.
        soft_cap: c in z = c tanh(W h / c), Gemma 2's bound on the logits (Gemma Team 2024, section
            2, https://arxiv.org/abs/2408.00118); None: z = W h.

    Returns:
        A scalar in fp32 (fp64 for fp64), in nats; NaN if there are no rows. Differentiable once.

    Raises:
        IndexError: a target is outside the vocabulary (checked on the CPU alone).
        ValueError: shapes that don't fit, or `chunk` below 1.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if targets.shape != hidden.shape[:-1]:
        raise ValueError(
            "targets must be shaped like hidden without its last dimension,"
            f" {tuple(hidden.shape[:-1])}, got {tuple(targets.shape)}"
        )
    require_ids_below(head_weight.shape[0], targets, "targets")
    rows = hidden.flatten(0, -2) if hidden.ndim > 1 else hidden.unsqueeze(0)
    loss: Tensor = _ChunkedCrossEntropy.apply(rows, head_weight, targets.flatten(), chunk, soft_cap)
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The mean loss; what is saved for the backward pass are the gradients themselves."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Float[Tensor, "rows d_model"],
        weight: Float[Tensor, "vocab_size d_model"],
        targets: Int[Tensor, " rows"],
        chunk: int,
        soft_cap: float | None,
    ) -> Float[Tensor, ""]:
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        dtype = product_dtype(hidden)
        narrow_weight = weight.to(dtype)
        wide = torch.promote_types(weight.dtype, torch.float32)
        loss = torch.zeros((), dtype=wide, device=hidden.device)
        hidden_grad = torch.empty_like(hidden) if needs_hidden else None
        weight_grad = torch.zeros_like(weight, dtype=wide) if needs_weight else None
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(hidden), chunk):
                rows = hidden[start : start + chunk].to(dtype)
                logits = (rows @ narrow_weight.T).to(wide)
                chunk_loss, grad = _loss_and_grad(logits, targets[start : start + chunk], soft_cap)
                loss += chunk_loss
                grad = grad.to(dtype)
                if hidden_grad is not None:
                    hidden_grad[start : start + chunk] = grad @ narrow_weight
                if weight_grad is not None:
                    weight_grad += grad.T @ rows
                del logits, grad  # or they would lie beside the next chunk's
        ctx.save_for_backward(hidden_grad, weight_grad)
        ctx.dtypes, ctx.rows = (hidden.dtype, weight.dtype), len(hidden)
        return loss / len(hidden)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (torch's takes *grads)
        ctx: Any, loss_grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Scale what the forward pass found."""
        scaled = (
            None if grad is None else (grad * (loss_grad / ctx.rows)).to(dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return *scaled, None, None, None


def _loss_and_grad(
    scores: Float[Tensor, "rows vocab_size"], targets: Int[Tensor, " rows"], soft_cap: float | None
) -> tuple[Float[Tensor, ""], Float[Tensor, "rows vocab_size"]]:
    """The summed loss, and its gradient by the `scores` W h, whose memory is used again."""
    logits = scores if soft_cap is None else scores.div_(soft_cap).tanh_().mul_(soft_cap)
    targets = targets.unsqueeze(-1)
    shift = logits.amax(dim=-1, keepdim=True)
    target_logits = logits.gather(-1, targets) - shift
    slope = None if soft_cap is None else 1 - (logits / soft_cap).square_()
    exp = logits.sub_(shift).exp_()
    total = exp.sum(dim=-1, keepdim=True)
    probs = exp.div_(total)
    if torch.compiler.is_compiling():
        # A comparison is fused into the pass that divides and narrows; a scatter needs the
        # probabilities in memory first, in fp32.
        grad = probs - (torch.arange(probs.shape[-1], device=probs.device) == targets).to(probs)
    else:
        grad = probs.scatter_add_(-1, targets, -torch.ones_like(total))
    return (total.log() - target_logits).sum(), grad if slope is None else grad.mul_(slope)
