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
from nnparts.chunked_loss import chunked_cross_entropy as chunked_cross_entropy
from nnparts.masks import causal_mask


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
    # The slope has a product of x and what comes from behind: in fp16 that of 3e4 and 3 is
    # infinite, and NaN where the sigmoid is flat.
    wide = _widen(x)
    return (wide * torch.sigmoid(wide)).to(x.dtype)


def swiglu(
    gate: Float[Tensor, "... d_ff"], value: Float[Tensor, "... d_ff"]
) -> Float[Tensor, "... d_ff"]:
    """SiLU(gate) * value, element by element: what SwiGLU does between its matrices.

    Shazeer 2020, eq. 6 (https://arxiv.org/abs/2002.05202).
    """
    return silu(gate) * value


def gelu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """GELU(x) = x Phi(x) = x (1 + erf(x / sqrt(2))) / 2, element by element.

    Hendrycks and Gimpel 2016, section 2 (https://arxiv.org/abs/1606.08415). Exact: GPT-2 has the
    paper's approximation by tanh, which is off by up to 5e-4.
    """
    wide = _widen(x)  # 1 + erf cancels: in bf16 GELU(-3) would be off by half
    return (wide * (1 + torch.erf(wide / math.sqrt(2))) / 2).to(x.dtype)


def relu2(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """max(x, 0)^2, element by element.

    So et al. 2021, Primer, section 3 (https://arxiv.org/abs/2109.08668).
    """
    return torch.relu(x).square()


def soft_cap(x: Float[Tensor, "..."], cap: float) -> Float[Tensor, "..."]:
    """SoftCap(x) = cap tanh(x / cap): x near zero, and never beyond +-cap.

    Gemma Team 2024, Gemma 2, section 2 (https://arxiv.org/abs/2408.00118).
    """
    return cap * torch.tanh(x / cap)


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
    *,
    is_causal: bool = False,
    dropout_share: float = 0.0,
) -> Float[Tensor, "... queries value_dim"]:
    """Attention(Q, K, V) = softmax(Q K^T / sqrt(head_dim)) V.

    Vaswani et al. 2017, section 3.2.1, eq. 1 (https://arxiv.org/abs/1706.03762).

    Args:
        query: `(..., queries, head_dim)`.
        key: `(..., keys, head_dim)`.
        value: `(..., keys, value_dim)`.
        mask: `(..., queries, keys)`, True where a query may look at a key; None means everywhere.
            Its leading dimensions broadcast to those of the scores, never the other way.
        is_causal: no query looks at a later key, either; the last of both stand side by side.
        dropout_share: of the probabilities, each dropped by itself.

    Returns:
        `(..., queries, value_dim)`. A query that may look nowhere gives zeros, and zeros as
        gradients: padding has such queries, and their NaN would reach every weight.
    """
    if is_causal:
        causal = causal_mask(query.shape[-2], key.shape[-2], query.device)
        mask = causal if mask is None else mask & causal
    # The queries are scaled, not the scores: head_dim numbers a row are fewer than `keys`.
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-2, -1)  # (..., queries, keys)
    if mask is None:
        return dropout(softmax(scores, dim=-1), dropout_share) @ value
    looks = mask.any(dim=-1, keepdim=True)  # (..., queries, 1)
    # In place: the scores are ours, and no backward needs them as they were. Who looks nowhere
    # keeps its scores, as a softmax of -inf alone is NaN, and loses its result.
    scores.masked_fill_(looks & ~mask, -math.inf)
    result = dropout(softmax(scores, dim=-1), dropout_share) @ value
    return result.masked_fill(~looks, 0.0)


def grouped_query_attention(
    query: Float[Tensor, "... num_heads queries head_dim"],
    key: Float[Tensor, "... num_kv_heads keys head_dim"],
    value: Float[Tensor, "... num_kv_heads keys value_dim"],
    mask: Bool[Tensor, "... queries keys"] | None = None,
    *,
    is_causal: bool = False,
    dropout_share: float = 0.0,
) -> Float[Tensor, "... num_heads queries value_dim"]:
    """Attention where num_heads / num_kv_heads heads of queries in a row share keys and values.

    Ainslie et al. 2023, section 2.2 (https://arxiv.org/abs/2305.13245). With as many heads of keys
    as of queries it is multi-head attention, with a single one multi-query attention.

    Args:
        query: `(..., num_heads, queries, head_dim)`.
        key: `(..., num_kv_heads, keys, head_dim)`.
        value: `(..., num_kv_heads, keys, value_dim)`.
        mask: `(..., queries, keys)`, the same for every head; otherwise as in
            `scaled_dot_product_attention`, like the rest.
        is_causal: no query looks at a later key.
        dropout_share: of the probabilities, each dropped by itself.

    Returns:
        `(..., num_heads, queries, value_dim)`.
    """
    query = query.unflatten(
        -3, (key.shape[-3], -1)
    )  # (..., num_kv_heads, group, queries, head_dim)
    key, value = key.unsqueeze(-3), value.unsqueeze(-3)  # (..., num_kv_heads, 1, keys, head_dim)
    if mask is not None:
        mask = mask[..., None, None, :, :]
    heads = scaled_dot_product_attention(
        query, key, value, mask, is_causal=is_causal, dropout_share=dropout_share
    )
    return heads.flatten(-4, -3)


def dropout(x: Float[Tensor, "..."], share: float) -> Float[Tensor, "..."]:
    """x_i / (1 - share) with probability 1 - share, else 0: the expectation stays x_i.

    Srivastava et al. 2014, section 10 (https://jmlr.org/papers/v15/srivastava14a.html). Draws from
    torch's global generator of the device, the one that activation checkpointing puts back.

    Args:
        x: any shape.
        share: of the numbers that are dropped, in [0, 1); 0 returns `x` itself and draws nothing.
    """
    if share == 0:
        return x
    # fp32 draws: bf16 has 256 of them in [0, 1), too few for a share of 0.001.
    is_kept = torch.rand_like(x, dtype=torch.float32) >= share
    return x * is_kept / (1 - share)


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
