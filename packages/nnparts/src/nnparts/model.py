"""The language model."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nnparts.block import TransformerBlock
from nnparts.config import TransformerConfig
from nnparts.embedding import Embedding
from nnparts.kernels import Impl
from nnparts.kv_cache import KVCache
from nnparts.linear import Linear
from nnparts.norm import RMSNorm
from nnparts.rope import RotaryPositionalEmbedding


class TransformerLM(torch.nn.Module):
    """logits = W_head RMSNorm(block_L(... block_1(embedding(token_ids)))).

    A decoder of pre-norm blocks with RoPE, SwiGLU and untied embeddings, as in Llama (Touvron et
    al. 2023, section 2.2, https://arxiv.org/abs/2302.13971). The weights go by the names of the
    Stanford CS336 reference: `token_embeddings`, `layers.0.attn.q_proj`, ..., `lm_head`.

    To start without memory, make it on `device="meta"`, then `to_empty`, then load a state dict.

    Args:
        config: the shape.
        device: where the weights lie; torch's default if None.
        dtype: of the weights; torch's default if None.
        generator: source of the initial draws; torch's global one if None.
        impl: "fast", or "reference" for the definitions of `functional`; see `kernels`.

    Attributes:
        config: the shape.
    """

    def __init__(
        self,
        config: TransformerConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
        impl: Impl = "fast",
    ) -> None:
        super().__init__()
        self.config = config
        assert config.head_dim is not None  # filled in by the config
        vocab_size, d_model = config.vocab_size, config.d_model
        rope = RotaryPositionalEmbedding(
            config.rope_theta, config.head_dim, config.context_length, device
        )
        self.token_embeddings = Embedding(vocab_size, d_model, device, dtype, generator=generator)
        self.layers = torch.nn.ModuleList(
            TransformerBlock(
                d_model,
                config.num_heads,
                config.d_ff,
                rope,
                device=device,
                dtype=dtype,
                generator=generator,
                impl=impl,
            )
            for _ in range(config.num_layers)
        )
        self.ln_final = RMSNorm(d_model, device=device, dtype=dtype, impl=impl)
        self.lm_head = Linear(d_model, vocab_size, device, dtype, generator=generator)

    def forward(
        self, token_ids: Int[Tensor, "... seq"], *, cache: KVCache | None = None
    ) -> Float[Tensor, "... seq vocab_size"]:
        """Score what may follow each token, given it and those before it.

        Args:
            token_ids: `(..., seq)`, int32 or int64; `(batch, seq)` with a cache.
            cache: the tokens before these; it is attended to, and these are appended.

        Returns:
            Logits, `(..., seq, vocab_size)`.

        Raises:
            IndexError: an id is outside the vocabulary (checked on the CPU alone).
            ValueError: more tokens than `context_length`, or a cache that doesn't fit.
        """
        start, seq = (0 if cache is None else cache.length), token_ids.shape[-1]
        if start + seq > self.config.context_length:
            raise ValueError(
                f"a prompt longer than the context: {start} cached and {seq} new tokens, but"
                f" context_length is {self.config.context_length}; give fewer or reset the cache"
            )
        x = self.token_embeddings(token_ids)
        for index, layer in enumerate(self.layers):
            x = layer(x, cache=None if cache is None else cache.layer(index))
        if cache is not None:
            # Only now: a pass that fails midway leaves the cache as it was.
            cache.length += seq
        return self.lm_head(self.ln_final(x))
