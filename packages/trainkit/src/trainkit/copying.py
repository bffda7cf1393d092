"""A head that looks at what followed the same token before, made by hand before the first step."""

import math

import torch
from jaxtyping import Float
from nnparts import MultiheadSelfAttention, TransformerLM
from torch import Tensor

from trainkit.looking_back import pair_frequencies, set_key, set_query, token_shares


def scratch_width(attention: MultiheadSelfAttention, context_length: int) -> int:
    """Numbers of a head that RoPE hardly turns: by at most one radian over the whole context."""
    return 2 * int((pair_frequencies(attention) * context_length <= 1).sum())


def look_after_same(
    model: TransformerLM,
    entering: Float[Tensor, "vocab_size d_model"],
    constant: Float[Tensor, " d_model"],
    token_counts: Float[Tensor, " vocab_size"],
    *,
    lead: float = 7.0,
) -> None:
    """Let head 0 of the second layer look where the token before is the one that stands here.

    An induction head (Olsson et al. 2022, https://arxiv.org/abs/2209.11895): after "... Tom Thumb
    ... Tom" it looks at "Thumb". Models that train for long find such heads by themselves. It takes
    two layers. With a short name a(x) = A (x - mean) for each token, of which the parts are
    uncorrelated and of variance 1,

    * head 0 of the first layer, which looks one token back (`look_back`), writes a(x_(n-1)) into
      the first numbers of the residual stream at n, which no embedding and no logit uses;
    * head 0 of the second scores n from m with s^2 a(x_m) . a(x_(n-1)) / sqrt(d_k), in those pairs
      that RoPE turns by less than a radian over the context (`scratch_width`), so that distance
      does not matter.

    What the second head's values are, and what becomes of them, is left to training.

    Args:
        model: with two layers or more, of which the first numbers are free, see `scratch_width`.
        entering: `(vocab_size, d_model)`, what enters the first layer for each token, x.
        constant: `(d_model,)`, w with w . x nearly 1, for subtracting the mean.
        token_counts: `(vocab_size,)`, how often each token occurs.
        lead: of the same token over others in the mean, in nats.
    """
    first, second = (block.attn for block in list(model.layers)[:2])
    assert isinstance(first, MultiheadSelfAttention)
    assert isinstance(second, MultiheadSelfAttention)
    width, head_dim = scratch_width(first, model.config.context_length), first.head_dim
    names = _short_names(entering.double(), constant.double(), token_shares(token_counts), width)
    strength = math.sqrt(lead * math.sqrt(head_dim) / width)
    # The second layer's norm will divide by it.
    size = model.token_embeddings.weight.square().mean().sqrt() / entering.square().mean().sqrt()
    with torch.no_grad():
        first.v_proj.weight[:width] = names.to(first.v_proj.weight)
        first.output_proj.weight[:width, :width] = size * torch.eye(width).to(size)
        slow = slice(head_dim - width, head_dim)
        query = torch.zeros(head_dim, model.config.d_model).to(names)
        key = torch.zeros_like(query)
        query[slow], key[slow, :width] = strength * names, strength * torch.eye(width).to(names)
        set_query(second, 0, query)
        set_key(second, 0, key)


def _short_names(
    x: Float[Tensor, "vocab_size d_model"],
    constant: Float[Tensor, " d_model"],
    shares: Float[Tensor, " vocab_size"],
    width: int,
) -> Float[Tensor, "width d_model"]:
    """A, with A x of mean 0 and covariance I over the text: the largest principal components."""
    shares = shares.to(x)
    mean = shares @ x
    covariance = (x - mean).T @ ((x - mean) * shares[:, None])
    variances, directions = torch.linalg.eigh(covariance)
    # Few tokens may differ in fewer directions: the others' numbers are 0, rather than noise.
    differ = variances > 1e-6 * variances[-1]
    names = (directions * torch.where(differ, variances.rsqrt(), 0.0))[:, -width:].T
    return names - torch.outer(names @ mean, constant)
