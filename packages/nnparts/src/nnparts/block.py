"""One layer of a transformer."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nnparts.attention import MultiheadSelfAttention
from nnparts.feed_forward import SwiGLU
from nnparts.kv_cache import LayerCache
from nnparts.norm import RMSNorm
from nnparts.rope import RotaryPositionalEmbedding


class TransformerBlock(torch.nn.Module):
    """y = x + MHA(RMSNorm(x)), z = y + FFN(RMSNorm(y)): pre-norm.

    Xiong et al. 2020, figure 1b (https://arxiv.org/abs/2002.04745), with RMSNorm for LayerNorm.

    Args:
        d_model: width of the residual stream.
        num_heads: number of heads; divides `d_model`.
        d_ff: width inside the feed-forward network; `default_d_ff(d_model)` if None.
        rope: rotates queries and keys; None means that attention knows no positions.
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
        d_ff: int | None = None,
        rope: RotaryPositionalEmbedding | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.ln1 = RMSNorm(d_model, device=device, dtype=dtype)
        self.attn = MultiheadSelfAttention(
            d_model, num_heads, rope, device=device, dtype=dtype, generator=generator
        )
        self.ln2 = RMSNorm(d_model, device=device, dtype=dtype)
        self.ffn = SwiGLU(d_model, d_ff, device=device, dtype=dtype, generator=generator)

    def forward(
        self,
        x: Float[Tensor, "... seq d_model"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        *,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "... seq d_model"]:
        """`(..., seq, d_model)` -> `(..., seq, d_model)`; arguments as in the attention."""
        x = x + self.attn(self.ln1(x), token_positions, cache=cache)
        return x + self.ffn(self.ln2(x))
