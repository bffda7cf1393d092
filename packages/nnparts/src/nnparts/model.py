"""The language model."""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nnparts import functional
from nnparts.block import TransformerBlock
from nnparts.config import TransformerConfig
from nnparts.embedding import Embedding
from nnparts.kernels import Impl
from nnparts.kv_cache import KVCache, LayerCache
from nnparts.linear import Linear
from nnparts.masks import decoder_mask, positions_in_documents
from nnparts.norm import RMSNorm
from nnparts.rope import RotaryPositionalEmbedding
from nnparts.tying import share_weight, tie_weights

_TIED = ("token_embeddings", "lm_head")


class TransformerLM(torch.nn.Module):
    """logits = W_head RMSNorm(block_L(... block_1(embedding(token_ids)))).

    By default a decoder of pre-norm blocks with RoPE, SwiGLU and untied embeddings, as in Llama
    (Touvron et al. 2023, section 2.2, https://arxiv.org/abs/2302.13971); `TransformerConfig` has
    the other choices. The weights go by the names of the Stanford CS336 reference:
    `token_embeddings`, `layers.0.attn.q_proj`, ..., `lm_head`. The norm before the head,
    `ln_final`, belongs to pre-norm alone: after post-norm the stream is normalized already.

    To start without memory, make it on `device="meta"`, then `to_empty`, then load a state dict or
    call `reset_parameters`.

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
        self.checkpoints_blocks = False
        vocab_size, d_model = config.vocab_size, config.d_model
        # A tied table begins as a head would: rows of N(0, 1) would make logits of size
        # sqrt(d_model), and a first loss far above log(vocab_size).
        std = math.sqrt(2 / (vocab_size + d_model)) if config.tied_embeddings else 1.0

        def embed(rows: int) -> Embedding:
            return Embedding(rows, d_model, device, dtype, std=std, generator=generator)

        self.token_embeddings = embed(vocab_size)
        self.position_embeddings = None
        if config.positions == "learned":
            self.position_embeddings = embed(config.context_length)
        rope = _make_rope(config, device, dtype) if config.positions == "rope" else None
        self.layers = torch.nn.ModuleList(
            _make_block(config, rope, device, dtype, generator=generator, impl=impl)
            for _ in range(config.num_layers)
        )
        self.ln_final = torch.nn.Identity()
        if config.norm == "pre":
            self.ln_final = RMSNorm(d_model, config.norm_eps, device, dtype, impl=impl)
        head_device = (
            "meta" if config.tied_embeddings else device
        )  # tied: the table takes its place
        self.lm_head = Linear(d_model, vocab_size, head_device, dtype, generator=generator)
        if config.tied_embeddings:
            tie_weights(self, *_TIED)
        self._scale_residual_init()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight anew, as if the model were made with this `generator`."""
        for module in self.modules():
            is_tied_head = module is self.lm_head and self.config.tied_embeddings
            if isinstance(module, Linear | Embedding) and not is_tied_head:
                module.reset_parameters(generator)
            elif isinstance(module, RMSNorm):
                module.reset_parameters()
        self._scale_residual_init()

    @torch.no_grad()
    def _scale_residual_init(self) -> None:
        """Shrink what writes into the residual stream: 2 num_layers writers then add up to one.

        Radford et al. 2019, GPT-2, section 2.3.
        """
        if self.config.residual_init_scaling:
            for writer in self._writers:
                writer.weight.div_(math.sqrt(2 * self.config.num_layers))

    @torch.no_grad()
    def silence_blocks(self) -> None:
        """Let every block begin by adding nothing: zero what writes into the residual stream.

        Zhang et al. 2019, Fixup, section 3 (https://arxiv.org/abs/1901.09321). Nothing is lost:
        the zeros have gradients, and after one step the matrices before them have, too.
        """
        for writer in self._writers:
            writer.weight.zero_()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TransformerLM":
        """Keep tied weights one where `to_empty` makes new parameters of those on meta."""
        super()._apply(fn, recurse)
        if self.config.tied_embeddings:
            share_weight(self, *_TIED)
        return self

    @property
    def _blocks(self) -> list[TransformerBlock]:
        return [block for block in self.layers if isinstance(block, TransformerBlock)]

    @property
    def _writers(self) -> list[Linear]:
        """The last matrix of every sublayer."""
        return [each for block in self._blocks for each in (block.attn.output_proj, block.ffn.w2)]

    def checkpoint_blocks(self, enabled: bool = True) -> None:
        """Keep only the blocks' inputs for backward, and compute each block again there.

        Chen et al. 2016 (https://arxiv.org/abs/1604.06174): a third more time for a forward and
        backward pass; memory for activations that grows with one block, not with all of them.
        """
        self.checkpoints_blocks = enabled

    def forward(
        self,
        token_ids: Int[Tensor, "... seq"],
        *,
        token_positions: Int[Tensor, "... seq"] | None = None,
        document_ids: Int[Tensor, "... seq"] | None = None,
        attention_mask: Bool[Tensor, "... seq"] | None = None,
        cache: KVCache | None = None,
        last_only: bool = False,
    ) -> Float[Tensor, "... scored vocab_size"]:
        """Score what may follow each token, given it and those before it.

        Args:
            token_ids: `(..., seq)`, int32 or int64; `(batch, seq)` with a cache.
            token_positions: `(..., seq)`, where RoPE or the learned table puts them; None means
                from 0 on in each document, padding not counted, or on from those in the cache.
            document_ids: `(..., seq)`, for sequences packed of several documents, which are runs
                of equal ids: no token sees another document, or is moved by it.
            attention_mask: `(..., seq)`, bool, False at padding, left or right, which no token
                sees. The logits at padding are finite and mean nothing.
            cache: the tokens before these; it is attended to, and these are appended.
            last_only: score only what may follow the last token: nothing else is asked of a
                prompt, and at 10,000 classes the head is a third of all products.

        Returns:
            Logits, `(..., seq, vocab_size)`; `(..., 1, vocab_size)` of the last alone.

        Raises:
            IndexError: an id or a position is outside its table (checked on the CPU alone).
            ValueError: more tokens than `context_length`, a cache that doesn't fit, a mask that
                isn't bool, or arguments that don't go together.
        """
        hidden = self.hidden_states(
            token_ids,
            token_positions=token_positions,
            document_ids=document_ids,
            attention_mask=attention_mask,
            cache=cache,
        )
        return self._score(hidden[..., -1:, :] if last_only else hidden)

    def bigram_logits(self, token_ids: Int[Tensor, "..."]) -> Float[Tensor, "... vocab_size"]:
        """Score what may follow each token, given it alone: past the blocks.

        That is what `forward` says, as long as the blocks are silent and positions not learned.
        """
        return self._score(self.ln_final(self.token_embeddings(token_ids)))

    def _score(self, hidden: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab_size"]:
        logits = self.lm_head(hidden)
        cap = self.config.logit_soft_cap
        return logits if cap is None else functional.soft_cap(logits, cap)

    def hidden_states(
        self,
        token_ids: Int[Tensor, "... seq"],
        *,
        token_positions: Int[Tensor, "... seq"] | None = None,
        document_ids: Int[Tensor, "... seq"] | None = None,
        attention_mask: Bool[Tensor, "... seq"] | None = None,
        cache: KVCache | None = None,
        compile_blocks: bool = False,
    ) -> Float[Tensor, "... seq d_model"]:
        """What the head reads: `forward` without its last matrix, for losses that need no logits.

        Arguments and errors are those of `forward`. With `compile_blocks` each block is a call of
        one compiled function: blocks are alike, so that is compiled once, however deep the model.
        Not with a cache.
        """
        start, seq = (0 if cache is None else cache.length), token_ids.shape[-1]
        self._check_call(start, seq, token_positions, document_ids, attention_mask, cache)
        if cache is not None:
            attention_mask = cache.extend_attention_mask(attention_mask, seq)
        has_places = token_positions is not None or self.config.positions == "none"
        if not has_places and not (document_ids is None and attention_mask is None):
            token_positions = positions_in_documents(document_ids, attention_mask)[..., -seq:]
        mask = decoder_mask(
            seq,
            start + seq,
            window=self.config.sliding_window,
            document_ids=document_ids,
            attention_mask=attention_mask,
            device=token_ids.device,
        )
        x = self._embed(token_ids, token_positions, start)
        rotated = token_positions if self.config.positions == "rope" else None
        run = _compiled_run() if compile_blocks and cache is None else _run
        for index, layer in enumerate(self.layers):
            if self.checkpoints_blocks and cache is None and torch.is_grad_enabled():
                x = checkpoint(run, layer, x, rotated, mask, use_reentrant=False)
            else:
                x = run(layer, x, rotated, mask, cache and cache.layer(index))
        if cache is not None:
            # Only now: a pass that fails midway leaves the cache as it was.
            cache.length += seq
        return self.ln_final(x)

    def _check_call(
        self,
        start: int,
        seq: int,
        token_positions: Tensor | None,
        document_ids: Tensor | None,
        attention_mask: Tensor | None,
        cache: KVCache | None,
    ) -> None:
        if start + seq > self.config.context_length:
            raise ValueError(
                f"a prompt longer than the context: {start} cached and {seq} new tokens, but"
                f" context_length is {self.config.context_length}; give fewer or reset the cache"
            )
        if attention_mask is not None and attention_mask.dtype != torch.bool:
            raise ValueError(
                "attention_mask must be bool, True at tokens and False at padding, got"
                f" {attention_mask.dtype}: convert ones and zeros with attention_mask.bool()"
            )
        if token_positions is not None and self.config.positions == "none":
            raise ValueError("token_positions are given, but the model has positions='none'")
        if document_ids is not None and cache is not None:
            raise ValueError(
                "document_ids are given with a cache, whose rows are one document each:"
                " give every document a row"
            )

    def _embed(self, token_ids: Tensor, token_positions: Tensor | None, start: int) -> Tensor:
        """Rows of the table, with those of the table of positions where there is one."""
        x = self.token_embeddings(token_ids)
        if self.position_embeddings is not None:
            if token_positions is None:
                end = start + token_ids.shape[-1]
                token_positions = torch.arange(start, end, device=token_ids.device)
            x = x + self.position_embeddings(token_positions)
        return functional.dropout(x, self.config.dropout if self.training else 0.0)


def _run(
    block: torch.nn.Module,
    x: Float[Tensor, "... seq d_model"],
    token_positions: Int[Tensor, "... seq"] | None,
    mask: Bool[Tensor, "... seq keys"] | None,
    cache: LayerCache | None = None,
) -> Float[Tensor, "... seq d_model"]:
    return block(x, token_positions, mask=mask, cache=cache)


@lru_cache
def _compiled_run() -> Callable[..., Tensor]:
    """`_run`, compiled; one for the process, so that blocks of one shape share what is compiled."""
    return torch.compile(_run)


def _make_rope(
    config: TransformerConfig, device: torch.device | str | None, dtype: torch.dtype | None
) -> RotaryPositionalEmbedding:
    """The rotation that every layer shares."""
    assert config.head_dim is not None  # filled in by the config
    return RotaryPositionalEmbedding(
        config.rope_theta,
        config.head_dim,
        config.context_length,
        device,
        dtype,
        scaling=config.rope_scaling,
    )


def _make_block(
    config: TransformerConfig,
    rope: RotaryPositionalEmbedding | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
    *,
    generator: torch.Generator | None,
    impl: Impl,
) -> TransformerBlock:
    return TransformerBlock(
        config.d_model,
        config.num_heads,
        config.d_ff,
        rope,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        norm=config.norm,
        norm_eps=config.norm_eps,
        qk_norm=config.qk_norm,
        feed_forward=config.feed_forward,
        dropout=config.dropout,
        device=device,
        dtype=dtype,
        generator=generator,
        impl=impl,
    )
