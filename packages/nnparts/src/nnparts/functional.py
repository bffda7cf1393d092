"""The operations of a transformer, each written out from its formula.

Every function takes any leading dimensions and any floating dtype. Sums run in fp32 at least,
because bf16 keeps 8 significant bits; the result comes back in the input's dtype, but a loss stays
in fp32. None of them waits for a GPU.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nnparts.checks import require_ids_below


def softmax(x: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """Probabilities exp(x_i - max x) / sum_j exp(x_j - max x) along `dim`.

    Subtracting the maximum changes nothing in the quotient and keeps `exp` from overflowing
    (Goodfellow, Bengio and Courville 2016, Deep Learning, section 4.1).

    Args:
        x: any shape.
        dim: the dimension that sums to 1.

    Returns:
        The shape and dtype of `x`. Where all of `dim` is -inf the result is NaN.
    """
    if x.shape[dim] == 0:
        return x
    # Out of the graph: the quotient doesn't depend on the shift, so neither does its gradient.
    shift = x.detach().amax(dim, keepdim=True)
    # In place, and times 1 / sum: a division's backward passes over the tensor three times more.
    exp = (_widen(x) - shift).exp_()
    return (exp * exp.sum(dim, keepdim=True).reciprocal()).to(x.dtype)


def silu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """SiLU(x) = x * sigmoid(x) = x / (1 + exp(-x)), element by element.

    Hendrycks and Gimpel 2016 (https://arxiv.org/abs/1606.08415); also known as swish.
    """
    return x * torch.sigmoid(x)


def rms_norm(
    x: Float[Tensor, "... d_model"], weight: Float[Tensor, " d_model"], eps: float = 1e-5
) -> Float[Tensor, "... d_model"]:
    """RMSNorm(x)_i = x_i / sqrt(mean_j x_j^2 + eps) * weight_i.

    Zhang and Sennrich 2019, eq. 4 (https://arxiv.org/abs/1910.07467), with `eps` under the root.

    Args:
        x: `(..., d_model)`.
        weight: the gains, `(d_model,)`.
        eps: added to the mean square, in its unit.

    Returns:
        `(..., d_model)` in the dtype of `x`.
    """
    wide = _widen(x)
    inverse_rms = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    return (wide * inverse_rms * weight).to(x.dtype)


def scaled_dot_product_attention(
    query: Float[Tensor, "... queries head_dim"],
    key: Float[Tensor, "... keys head_dim"],
    value: Float[Tensor, "... keys value_dim"],
    mask: Bool[Tensor, "... queries keys"] | None = None,
) -> Float[Tensor, "... queries value_dim"]:
    """Attention(Q, K, V) = softmax(Q K^T / sqrt(head_dim)) V.

    Vaswani et al. 2017, section 3.2.1, eq. 1 (https://arxiv.org/abs/1706.03762).

    Args:
        query: `(..., queries, head_dim)`.
        key: `(..., keys, head_dim)`.
        value: `(..., keys, value_dim)`.
        mask: `(..., queries, keys)`, True where a query may look at a key; None means everywhere.
            Its leading dimensions broadcast to those of the scores, never the other way.

    Returns:
        `(..., queries, value_dim)`. A query that may look nowhere gives NaN.
    """
    # The queries are scaled, not the scores: head_dim numbers a row are fewer than `keys`.
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-2, -1)  # (..., queries, keys)
    if mask is not None:
        # In place: the scores are ours, and no backward needs them as they were.
        scores.masked_fill_(~mask, -math.inf)
    return softmax(scores, dim=-1) @ value


def causal_mask(
    queries: int, keys: int, device: torch.device | str | None = None
) -> Bool[Tensor, "queries keys"]:
    """The mask under which the last `queries` of `keys` positions look at no later one.

    mask[i, j] = j <= i + keys - queries. Not cached: 256 x 256 take 0.05 ms to build, the attention
    of 8 sequences and 16 heads under them 80 ms.

    Returns:
        `(queries, keys)`, True where a query may look.
    """
    everywhere = torch.ones(queries, keys, dtype=torch.bool, device=device)
    return everywhere.tril(diagonal=keys - queries)


def cross_entropy(
    logits: Float[Tensor, "... vocab_size"], targets: Int[Tensor, "..."]
) -> Float[Tensor, ""]:
    """The mean of -log softmax(logits)[target] = log sum_j exp(logits_j) - logits_target, in nats.

    By log-sum-exp, shifted by the maximum, so that no probability is ever rounded to zero.

    Args:
        logits: `(..., vocab_size)`.
        targets: the right ids, `(...)`, int64, each in [0, vocab_size).

    Returns:
        A scalar in fp32 (fp64 for fp64 logits): the mean over all leading dimensions, NaN if they
        are empty.

    Raises:
        IndexError: a target is outside the vocabulary (checked on the CPU alone).
        ValueError: `targets` isn't shaped like `logits` without its last dimension.
    """
    if targets.shape != logits.shape[:-1]:
        raise ValueError(
            "targets must be shaped like logits without their last dimension,"
            f" {tuple(logits.shape[:-1])}, got {tuple(targets.shape)}"
        )
    require_ids_below(logits.shape[-1], targets, "targets")
    shift = logits.detach().amax(dim=-1, keepdim=True)
    log_sum_exp = (_widen(logits) - shift).exp_().sum(dim=-1).log()
    target_logits = _widen(logits.gather(-1, targets.unsqueeze(-1))) - shift
    return (log_sum_exp - target_logits.squeeze(-1)).mean()


def _widen(x: Tensor) -> Tensor:
    """`x` in fp32, or untouched if it is that wide already."""
    if not x.is_floating_point():  # an integer result would be rounded down to nothing
        raise ValueError(f"a floating dtype is needed, got {x.dtype}: convert with x.float()")
    return x.to(torch.promote_types(x.dtype, torch.float32))
