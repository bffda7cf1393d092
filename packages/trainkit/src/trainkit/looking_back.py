"""Heads that look a fixed number of tokens back, before training has taught any to."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from nnparts import MultiheadSelfAttention
from torch import Tensor

_RIDGE = 1e-3  # of the mean square of what enters the layer: the direction stays short


def look_back(
    attention: MultiheadSelfAttention,
    constant: Float[Tensor, " d_model"],
    distances: Mapping[int, int],
    *,
    lead: float = 7.0,
) -> None:
    """Let heads look so many tokens back, whatever stands there.

    RoPE turns queries and keys by their positions. So a head whose queries are all one vector and
    whose keys are all another looks by distance alone. Let c(x) = w . x be nearly 1 for all x that
    enter (`constant_direction`). With pair i of a query
    a_i c(x_m) (cos(theta_i D), -sin(theta_i D)) and of a key a_i c(x_n) (1, 0), position m scores n

        c(x_m) c(x_n) sum_i a_i^2 cos(theta_i (m - n - D)) / sqrt(d_k),

    most at n = m - D. The frequencies are a geometric series, so with a_i^2 ~ theta_i the sum goes
    over them as an integral over theta in [0, 1] does, to sin(m - n - D) / (m - n - D): neighbours
    score less, those far away next to nothing. (Elhage et al. 2021, "A Mathematical Framework for
    Transformer Circuits", found that trained models have such heads, and what for.)

    What the heads' values and W_O hold stays as it is, and all of it is learned further.

    Args:
        attention: with RoPE, and without `qk_norm`, which would not let a score lead.
        constant: `(d_model,)`, w.
        distances: how many tokens back each head looks, 1 being the one before.
        lead: by how much the token looked at scores above its neighbours where c = 1, in nats.
    """
    theta, amplitudes = _amplitudes(attention, lead)
    keys = torch.stack((amplitudes, torch.zeros_like(amplitudes)), -1).flatten()
    with torch.no_grad():
        for head, distance in distances.items():
            angles = -theta * distance
            query = torch.stack((angles.cos(), angles.sin()), -1) * amplitudes[:, None]
            set_query(attention, head, torch.outer(query.flatten(), constant))
            set_key(attention, head, torch.outer(keys, constant))


def constant_direction(
    entering: Float[Tensor, "vocab_size d_model"], token_counts: Float[Tensor, " vocab_size"]
) -> Float[Tensor, " d_model"]:
    """The w with w . x nearest to 1 for all tokens x, by weighted least squares, in fp64.

    It solves (X' F X + r I) w = X' F 1, with the shares of the tokens in the text on F's diagonal
    and a small r.

    Args:
        entering: `(vocab_size, d_model)`, X: what enters a layer for each token.
        token_counts: `(vocab_size,)`, how often each token occurs.
    """
    x = entering.double()
    weighted = x * token_shares(token_counts).to(x)[:, None]
    ridge = _RIDGE * (weighted * x).sum() / x.shape[1]
    matrix = weighted.T @ x + ridge * torch.eye(x.shape[1]).to(x)
    return torch.linalg.solve(matrix, weighted.sum(0))


def token_shares(token_counts: Float[Tensor, " vocab_size"]) -> Float[Tensor, " vocab_size"]:
    """Each token's share of the text, as if it had come once more: none is forgotten."""
    return (token_counts.double() + 1) / (token_counts.double() + 1).sum()


def pair_frequencies(attention: MultiheadSelfAttention) -> Float[Tensor, " pairs"]:
    """The angle theta_i by which RoPE turns pair i from one position to the next, in fp64."""
    rope = attention.rope
    assert rope is not None
    return torch.atan2(rope.sin[1], rope.cos[1]).double()


def set_query(attention: MultiheadSelfAttention, head: int, matrix: Tensor) -> None:
    """Let W_Q of a head be `(head_dim, d_model)` `matrix`."""
    _set_rows(attention.q_proj.weight, head, matrix)


def set_key(attention: MultiheadSelfAttention, head: int, matrix: Tensor) -> None:
    """Let W_K of a head, and of those that share it, be `(head_dim, d_model)` `matrix`."""
    kv_head = head * attention.num_kv_heads // attention.num_heads
    _set_rows(attention.k_proj.weight, kv_head, matrix)


def _set_rows(weight: Tensor, head: int, matrix: Tensor) -> None:
    weight[head * len(matrix) : (head + 1) * len(matrix)] = matrix.to(weight)


def _amplitudes(
    attention: MultiheadSelfAttention, lead: float
) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
    """Each pair's theta_i and a_i: a_i^2 ~ theta_i, neighbours `lead` nats behind."""
    theta = pair_frequencies(attention)
    gap = (theta * (1 - theta.cos())).sum() / math.sqrt(attention.head_dim)
    return theta, (theta * lead / gap).sqrt()
