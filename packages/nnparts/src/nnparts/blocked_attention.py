"""Causal attention of short sequences, as a few plain products that the compiler fuses around."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from nnparts.autocast import product_dtype
from nnparts.masks import causal_mask

_BLOCKS = 4
"""Of 4 sequences of 256, with 4 heads of 64 in bf16, on a core of a Zen 5, forward and backward:
one block 8.4 ms, two 4.7, four 4.1; torch's own kernel 10.6."""


def blocked_causal_attention(
    query: Float[Tensor, "... num_heads seq head_dim"],
    key: Float[Tensor, "... num_kv_heads seq head_dim"],
    value: Float[Tensor, "... num_kv_heads seq value_dim"],
) -> Float[Tensor, "... num_heads seq value_dim"]:
    """`functional.grouped_query_attention` with a causal mask, a quarter of the queries at a time.

    The queries of block b, those from s_b up to e_b, see no key from e_b on:

        out[s_b : e_b] = softmax(causal(Q[s_b : e_b] K[: e_b]^T / sqrt(head_dim))) V[: e_b].

    So five eighths of the square of scores are computed, each block by two matrix products, which
    run at the speed of all others; compiled, what is between them is one pass. Torch's own kernel
    on a CPU goes through small tiles, and takes two and a half times as long. The price is memory:
    the probabilities are held for the backward pass, in the dtype of `value`, 5/8 seq^2 a head.

    Only the first derivative is to be had.

    Args:
        query: `(..., num_heads, seq, head_dim)`.
        key: `(..., num_kv_heads, seq, head_dim)`; `num_kv_heads` divides `num_heads`.
        value: `(..., num_kv_heads, seq, value_dim)`.

    Returns:
        `(..., num_heads, seq, value_dim)`.
    """
    seq, sharing = query.shape[-2], query.shape[-3] // key.shape[-3]
    if sharing != 1:
        key, value = (x.repeat_interleave(sharing, dim=-3) for x in (key, value))
    query = query / math.sqrt(query.shape[-1])
    narrow = (x.to(product_dtype(x)) for x in (query, key, value))
    return cast(Tensor, _BlockedAttention.apply(*narrow, max(1, -(-seq // _BLOCKS))))


class _BlockedAttention(torch.autograd.Function):
    """softmax(causal(Q K^T)) V, some queries at a time, and its backward pass.

    With P = softmax(S), S = Q K^T of a block, and dO what comes from behind,

        dV = P^T dO,  dP = dO V^T,  dS = P * (dP - rowsum(dP * P)),  dQ = dS K,  dK = dS^T Q.

    That is what autograd does, too; but it finds K^T's gradient, and adds those of the blocks by
    padding each with zeros. All of that, in one kernel with RoPE's, took 6 ms a layer of 8 x 256
    positions and 16 heads of 32 (bf16, two cores of a Zen 5). Now it takes 1.5.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Float[Tensor, "... seq head_dim"],
        key: Float[Tensor, "... seq head_dim"],
        value: Float[Tensor, "... seq value_dim"],
        block: int,
    ) -> Float[Tensor, "... seq value_dim"]:
        starts = range(0, max(1, query.shape[-2]), block)
        probs = [_probs(query[..., start : start + block, :], key, start) for start in starts]
        ctx.save_for_backward(query, key, value, *probs)
        ctx.block = block
        return torch.cat([each @ value[..., : each.shape[-1], :] for each in probs], dim=-2)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (torch's takes *grads)
        ctx: Any, out_grad: Float[Tensor, "... seq value_dim"]
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, *probs = ctx.saved_tensors
        queries, outs = (x.split(ctx.block, dim=-2) for x in (query, out_grad))
        query_grads: list[Tensor] = []
        key_grads: list[Sequence[Tensor]] = []
        value_grads: list[Sequence[Tensor]] = []
        for seen, asking, out in zip(probs, queries, outs, strict=True):
            stop = seen.shape[-1]
            score = _score_grad(seen, out @ value[..., :stop, :].transpose(-2, -1))
            query_grads.append(score @ key[..., :stop, :])
            key_grads.append((score.transpose(-2, -1) @ asking).split(ctx.block, dim=-2))
            value_grads.append((seen.transpose(-2, -1) @ out).split(ctx.block, dim=-2))
        return torch.cat(query_grads, dim=-2), _add_up(key_grads), _add_up(value_grads), None


def _probs(
    query: Float[Tensor, "... queries head_dim"], key: Float[Tensor, "... seq head_dim"], start: int
) -> Float[Tensor, "... queries keys"]:
    """How much the queries at `start` and behind it look at each key up to the last of them."""
    stop = start + query.shape[-2]
    scores = query @ key[..., :stop, :].transpose(-2, -1)
    looks = causal_mask(stop - start, stop, query.device)
    return torch.softmax(_wide(scores).masked_fill(~looks, -math.inf), dim=-1).to(query.dtype)


def _score_grad(
    probs: Float[Tensor, "... queries keys"], prob_grad: Float[Tensor, "... queries keys"]
) -> Float[Tensor, "... queries keys"]:
    """Softmax backward: dS = P * (dP - rowsum(dP * P))."""
    p, p_grad = _wide(probs), _wide(prob_grad)
    return (p * (p_grad - (p_grad * p).sum(dim=-1, keepdim=True))).to(probs.dtype)


def _add_up(blocks: Sequence[Sequence[Tensor]]) -> Float[Tensor, "... seq width"]:
    """The sum of what the queries of each block gave to the keys of each block up to theirs."""
    columns = ([row[index] for row in blocks[index:]] for index in range(len(blocks)))
    return torch.cat([reduce(torch.add, column) for column in columns], dim=-2)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
