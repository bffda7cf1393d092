"""Heads that look a fixed number of tokens back, before training has taught any to."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from nnparts import RotaryPositionalEmbedding, TransformerBlock, TransformerLM
from torch import Tensor

_RIDGE = 1e-3  # of the mean square of what enters the layer: the direction stays short


def look_back(
    model: TransformerLM,
    token_counts: Float[Tensor, " vocab_size"],
    distances: Sequence[int],
    *,
    lead: float = 7.0,
) -> None:
    """Let the first layer's first heads look so many tokens back, whatever stands there.

    RoPE turns queries and keys by their positions. So a head whose queries are all one vector and
    whose keys are all another looks by distance alone. Let c(x) = w . x be as near to 1 as it can
    for all tokens x that enter the layer, frequent ones first. With pair i of a query
    a_i c(x_m) (cos(theta_i D), -sin(theta_i D)) and of a key a_i c(x_n) (1, 0), position m scores n

        c(x_m) c(x_n) sum_i a_i^2 cos(theta_i (m - n - D)) / sqrt(d_k),

    most at n = m - D. The frequencies are a geometric series, so with a_i^2 ~ theta_i the sum goes
    over them as an integral over theta in [0, 1] does, to sin(m - n - D) / (m - n - D): neighbours
    score less, those far away next to nothing. (Elhage et al. 2021, "A Mathematical Framework for
    Transformer Circuits", found that trained models have such heads, and what for.)

    What the heads' values and W_O hold stays as it is, and all of it is learned further.

    Args:
        model: whose tokens all enter the first layer with something in common; see
            `start_from_bigrams`, which gives them that.
        token_counts: `(vocab_size,)`, how often each token occurs.
        distances: of head 0, 1, ...: how many tokens back it looks, 1 being the one before.
        lead: by how much the token looked at scores above its neighbours where c = 1, in nats.

    Raises:
        ValueError: the model has fewer heads than that, no RoPE, or queries whose length is fixed
            (`qk_norm`), so that no score can lead.
    """
    config = model.config
    if config.positions != "rope" or config.qk_norm or len(distances) > config.num_heads:
        raise ValueError(
            "heads that look back need positions='rope', qk_norm=False and as many heads, got"
            f" positions={config.positions!r}, qk_norm={config.qk_norm} and"
            f" num_heads={config.num_heads} for {len(distances)} distances"
        )
    block = model.layers[0]
    assert isinstance(block, TransformerBlock)
    attention, rope = block.attn, block.attn.rope
    assert rope is not None
    with torch.no_grad():
        constant = _constant_direction(block.ln1(model.token_embeddings.weight), token_counts)
        theta, amplitudes = _amplitudes(rope, lead)
        queries = attention.q_proj.weight.view(config.num_heads, -1, config.d_model)
        keys = attention.k_proj.weight.view(attention.num_kv_heads, -1, config.d_model)
        for head, distance in enumerate(distances):
            angle = -theta * distance
            query = torch.stack((angle.cos(), angle.sin()), -1) * amplitudes[:, None]
            key = torch.stack((torch.ones_like(theta), torch.zeros_like(theta)), -1)
            queries[head] = torch.outer(query.flatten(), constant)
            kv_head = head * attention.num_kv_heads // config.num_heads
            keys[kv_head] = torch.outer((key * amplitudes[:, None]).flatten(), constant)


def _constant_direction(
    entering: Float[Tensor, "vocab_size d_model"], token_counts: Float[Tensor, " vocab_size"]
) -> Float[Tensor, " d_model"]:
    """Weighted least squares for w . x = 1 over all rows x: `(X' F X + r I) w = X' F 1`."""
    x = entering.double()
    share = (token_counts.to(x) + 1) / (token_counts.sum() + len(token_counts))
    weighted = x * share[:, None]
    ridge = _RIDGE * (weighted * x).sum() / x.shape[1]
    matrix = weighted.T @ x + ridge * torch.eye(x.shape[1]).to(x)
    return torch.linalg.solve(matrix, weighted.sum(0))


def _amplitudes(
    rope: RotaryPositionalEmbedding, lead: float
) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
    """Each pair's angle a position, and a_i: a_i^2 ~ theta_i, neighbours `lead` nats behind."""
    theta = torch.atan2(rope.sin[1], rope.cos[1]).double()
    gap = (theta * (1 - theta.cos())).sum() / math.sqrt(rope.d_k)
    return theta, (theta * lead / gap).sqrt()
