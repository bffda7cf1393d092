"""One layer of a transformer."""

from collections.abc import Callable
from typing import get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nnparts import functional
from nnparts.attention import MultiheadSelfAttention
from nnparts.config import FeedForwardKind, Norm
from nnparts.feed_forward import FeedForward, SwiGLU
from nnparts.kernels import Impl
from nnparts.kv_cache import LayerCache
from nnparts.norm import RMSNorm
from nnparts.rope import RotaryPositionalEmbedding


class TransformerBlock(torch.nn.Module):
    """Two residual steps: attention `attn`, then the feed-forward network `ffn`.

    norm="pre":   y = x + MHA(RMSNorm(x)),  z = y + FFN(RMSNorm(y))
    norm="post":  y = RMSNorm(x + MHA(x)),  z = RMSNorm(y + FFN(y))
    norm="none":  y = x + MHA(x),           z = y + FFN(y)

    Xiong et al. 2020, figure 1 (https://arxiv.org/abs/2002.04745), with RMSNorm for LayerNorm; the
    norms are `ln1` and `ln2`.

    Args:
        d_model: width of the residual stream.
        num_heads: number of heads; divides `d_model` where `head_dim` is None.
        d_ff: width inside the feed-forward network; its own default if None.
        rope: rotates queries and keys; None means that attention knows no positions.
        num_kv_heads: heads of keys and values; `num_heads` if None.
        head_dim: width of one head; d_model / num_heads if None.
        norm: where to normalize, as above.
        norm_eps: added to the mean square in every RMSNorm.
        qk_norm: RMSNorm over each head's queries and keys.
        feed_forward: "swiglu" for `SwiGLU`, else the activation of a `FeedForward`.
        dropout: share of the numbers dropped in training, on attention's probabilities and at
            either sublayer's end, before the sum.
        device: where the weights lie; torch's default if None.
        dtype: of the weights; torch's default if None.
        generator: source of the initial draws; torch's global one if None.
        impl: what computes it, see `kernels`.

    Raises:
        ValueError: the numbers of heads don't fit, or a choice is none.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int | None = None,
        rope: RotaryPositionalEmbedding | None = None,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        norm: Norm = "pre",
        norm_eps: float = 1e-5,
        qk_norm: bool = False,
        feed_forward: FeedForwardKind = "swiglu",
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
        impl: Impl = "fast",
    ) -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise ValueError(f"norm must be one of {get_args(Norm)}, got {norm!r}")
        if feed_forward not in get_args(FeedForwardKind):
            raise ValueError(
                f"feed_forward must be one of {get_args(FeedForwardKind)}, got {feed_forward!r}"
            )
        self.is_post_norm, self.dropout = norm == "post", dropout

        def normalize() -> torch.nn.Module:
            if norm == "none":
                return torch.nn.Identity()
            return RMSNorm(d_model, norm_eps, device, dtype, impl=impl)

        self.ln1 = normalize()
        self.attn = MultiheadSelfAttention(
            d_model,
            num_heads,
            rope,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            qk_norm=qk_norm,
            norm_eps=norm_eps,
            dropout=dropout,
            device=device,
            dtype=dtype,
            generator=generator,
            impl=impl,
        )
        self.ln2 = normalize()
        if feed_forward == "swiglu":
            self.ffn = SwiGLU(
                d_model, d_ff, device=device, dtype=dtype, generator=generator, impl=impl
            )
        else:
            self.ffn = FeedForward(
                d_model,
                d_ff,
                feed_forward,
                device=device,
                dtype=dtype,
                generator=generator,
                impl=impl,
            )

    def forward(
        self,
        x: Float[Tensor, "... seq d_model"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        *,
        mask: Bool[Tensor, "... seq keys"] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "... seq d_model"]:
        """`(..., seq, d_model)` -> `(..., seq, d_model)`; arguments as in the attention."""

        def attend(x: Tensor) -> Tensor:
            return self.attn(x, token_positions, mask=mask, cache=cache)

        return self._step(self._step(x, attend, self.ln1), self.ffn, self.ln2)

    def _step(
        self, x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: torch.nn.Module
    ) -> Tensor:
        """One residual step."""
        share = self.dropout if self.training else 0.0
        if self.is_post_norm:
            return norm(x + functional.dropout(sublayer(x), share))
        return x + functional.dropout(sublayer(norm(x)), share)
