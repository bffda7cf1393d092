"""Multi-head self-attention."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nnparts.functional import causal_mask, scaled_dot_product_attention
from nnparts.kv_cache import LayerCache
from nnparts.linear import Linear
from nnparts.rope import RotaryPositionalEmbedding


class MultiheadSelfAttention(torch.nn.Module):
    """MHA(x) = W_O concat(head_1, ..., head_h), head_i = Attention(W_Q^i x, W_K^i x, W_V^i x).

    Vaswani et al. 2017, section 3.2.2 (https://arxiv.org/abs/1706.03762). Causal: position i sees
    none after it. The heads' matrices are stacked in `q_proj`, `k_proj` and `v_proj`, head after
    head; `output_proj` is W_O. head_dim = d_model / num_heads.

    Args:
        d_model: width of input and output.
        num_heads: number of heads; divides `d_model`.
        rope: rotates queries and keys, the same in every layer that shares it; None means that
            attention knows no positions.
        device: where the weights lie; torch's default if None.
        dtype: of the weights; torch's default if None.
        generator: source of the initial draws; torch's global one if None.

    Raises:
        ValueError: `num_heads` doesn't divide `d_model`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        rope: RotaryPositionalEmbedding | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if num_heads < 1 or d_model % num_heads:
            raise ValueError(
                f"d_model must be divisible by num_heads, got {d_model=} and {num_heads=}"
            )
        self.num_heads = num_heads
        self.rope = rope
        self.q_proj = Linear(d_model, d_model, device, dtype, generator=generator)
        self.k_proj = Linear(d_model, d_model, device, dtype, generator=generator)
        self.v_proj = Linear(d_model, d_model, device, dtype, generator=generator)
        self.output_proj = Linear(d_model, d_model, device, dtype, generator=generator)

    def forward(
        self,
        x: Float[Tensor, "... seq d_model"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        *,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "... seq d_model"]:
        """Mix every position with those before it.

        Args:
            x: `(..., seq, d_model)`.
            token_positions: `(..., seq)`, where RoPE puts them; None means one after the other,
                behind those in the cache. Who sees whom is decided by order, not by position.
            cache: earlier keys and values to attend to, which these are appended to.

        Returns:
            `(..., seq, d_model)`.

        Raises:
            ValueError: positions are given but there is no `rope` to use them.
        """
        query, key, value = (
            self._split_heads(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = self._rotate(query, key, token_positions, 0 if cache is None else cache.length)
        if cache is not None:
            key, value = cache.append(key, value)
        mask = causal_mask(query.shape[-2], key.shape[-2], x.device)
        heads = scaled_dot_product_attention(query, key, value, mask)
        return self.output_proj(heads.transpose(-3, -2).flatten(-2))

    def _split_heads(self, x: Tensor) -> Tensor:
        """`(..., seq, d_model)` -> `(..., num_heads, seq, head_dim)`, a view."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)

    def _rotate(
        self, query: Tensor, key: Tensor, token_positions: Tensor | None, start: int
    ) -> tuple[Tensor, Tensor]:
        """Put queries and keys where they stand in the sequence, if there is a RoPE to do so."""
        if self.rope is None:
            if token_positions is not None:
                raise ValueError("token_positions need a rope: this attention was made without one")
            return query, key
        if token_positions is not None:
            token_positions = token_positions.unsqueeze(-2)  # (..., 1, seq): all heads alike
        rope = self.rope
        return rope(query, token_positions, start=start), rope(key, token_positions, start=start)
