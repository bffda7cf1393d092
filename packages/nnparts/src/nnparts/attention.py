"""Multi-head self-attention."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nnparts.kernels import Impl, select_kernels
from nnparts.kv_cache import LayerCache
from nnparts.linear import Linear
from nnparts.norm import RMSNorm
from nnparts.rope import RotaryPositionalEmbedding


class MultiheadSelfAttention(torch.nn.Module):
    """MHA(x) = W_O concat(head_1, ..., head_h), head_i = Attention(W_Q^i x, W_K^i x, W_V^i x).

    Vaswani et al. 2017, section 3.2.2 (https://arxiv.org/abs/1706.03762). Causal: position i sees
    none after it, unless a mask says otherwise. The heads' matrices are stacked in `q_proj`,
    `k_proj` and `v_proj`, head after head; `output_proj` is W_O.

    Args:
        d_model: width of input and output.
        num_heads: number of heads; divides `d_model` where `head_dim` is None.
        rope: rotates queries and keys, the same in every layer that shares it; None means that
            attention knows no positions.
        num_kv_heads: heads of keys and values, each shared by num_heads / num_kv_heads heads of
            queries (see `functional.grouped_query_attention`); `num_heads` if None.
        head_dim: width of one head; d_model / num_heads if None.
        qk_norm: RMSNorm over each head's queries, `q_norm`, and keys, `k_norm`, before they are
            rotated (Dehghani et al. 2023, section 2, https://arxiv.org/abs/2302.05442).
        norm_eps: of these two.
        dropout: share of attention's probabilities dropped in training.
        device: where the weights lie; torch's default if None.
        dtype: of the weights; torch's default if None.
        generator: source of the initial draws; torch's global one if None.
        impl: what computes it, see `kernels`.

    Raises:
        ValueError: `num_heads` doesn't divide `d_model`, or `num_kv_heads` not `num_heads`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        rope: RotaryPositionalEmbedding | None = None,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        qk_norm: bool = False,
        norm_eps: float = 1e-5,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
        impl: Impl = "fast",
    ) -> None:
        super().__init__()
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        self.head_dim = _checked_head_dim(d_model, num_heads, num_kv_heads, head_dim)
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads
        self.rope, self.dropout, self.kernels = rope, dropout, select_kernels(impl)

        def project(in_features: int, out_features: int) -> Linear:
            return Linear(in_features, out_features, device, dtype, generator=generator)

        self.q_proj = project(d_model, num_heads * self.head_dim)
        self.k_proj = project(d_model, num_kv_heads * self.head_dim)
        self.v_proj = project(d_model, num_kv_heads * self.head_dim)
        self.output_proj = project(num_heads * self.head_dim, d_model)
        self.q_norm = self.k_norm = None
        if qk_norm:
            self.q_norm = RMSNorm(self.head_dim, norm_eps, device, dtype, impl=impl)
            self.k_norm = RMSNorm(self.head_dim, norm_eps, device, dtype, impl=impl)

    def forward(
        self,
        x: Float[Tensor, "... seq d_model"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        *,
        mask: Bool[Tensor, "... seq keys"] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "... seq d_model"]:
        """Mix every position with those that it may look at.

        Args:
            x: `(..., seq, d_model)`.
            token_positions: `(..., seq)`, where RoPE puts them; None means one after the other,
                behind those in the cache. Who sees whom is decided by order, not by position.
            mask: `(..., seq, keys)`, True where a position may look, the same for every head;
                keys = seq, behind those in the cache. None: itself and all before it.
            cache: earlier keys and values to attend to, which these are appended to.

        Returns:
            `(..., seq, d_model)`: zeros where a position may look nowhere.

        Raises:
            ValueError: positions are given but there is no `rope` to use them.
        """
        query = self._split_heads(self.q_proj(x), self.q_norm)
        key = self._split_heads(self.k_proj(x), self.k_norm)
        value = self._split_heads(self.v_proj(x))
        query, key = self._rotate(query, key, token_positions, 0 if cache is None else cache.length)
        if cache is not None:
            key, value = cache.append(key, value)
        heads = self.kernels.grouped_query_attention(
            query,
            key,
            value,
            mask,
            is_causal=mask is None,
            dropout_share=self.dropout if self.training else 0.0,
        )
        return self.output_proj(heads.transpose(-3, -2).flatten(-2))

    def _split_heads(self, x: Tensor, norm: RMSNorm | None = None) -> Tensor:
        """`(..., seq, heads * head_dim)` -> `(..., heads, seq, head_dim)`, normalized or a view."""
        x = x.unflatten(-1, (-1, self.head_dim))
        return (x if norm is None else norm(x)).transpose(-3, -2)

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


def _checked_head_dim(d_model: int, num_heads: int, num_kv_heads: int, head_dim: int | None) -> int:
    """The width of a head, once the counts of heads are known to fit."""
    if num_heads < 1 or (head_dim is None and d_model % num_heads):
        raise ValueError(
            f"d_model must be divisible by num_heads, got {d_model=} and {num_heads=};"
            " or give head_dim"
        )
    if num_kv_heads < 1 or num_heads % num_kv_heads:
        raise ValueError(
            f"num_heads must be divisible by num_kv_heads, got {num_heads=} and {num_kv_heads=}"
        )
    return d_model // num_heads if head_dim is None else head_dim
