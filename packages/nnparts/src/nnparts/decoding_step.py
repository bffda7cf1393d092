"""One token more for every row, from a copy of the weights that is made for it."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from nnparts import functional
from nnparts.attention import MultiheadSelfAttention
from nnparts.block import TransformerBlock
from nnparts.embedding import Embedding
from nnparts.feed_forward import FeedForward, SwiGLU
from nnparts.kernels import FAST
from nnparts.kv_cache import KVCache, NextPosition
from nnparts.linear import Linear
from nnparts.masks import decoder_mask, positions_in_documents
from nnparts.model import TransformerLM
from nnparts.norm import RMSNorm
from nnparts.packed_product import Product, products
from nnparts.rope import RotaryPositionalEmbedding
from nnparts.row_norm import row_norm

_KNOWN = (
    TransformerLM,
    torch.nn.ModuleList,
    TransformerBlock,
    MultiheadSelfAttention,
    RotaryPositionalEmbedding,
    SwiGLU,
    FeedForward,
    Linear,
    Embedding,
    RMSNorm,
    torch.nn.Identity,
)

Sublayer = Callable[[Tensor], Tensor]


class DecodingStep:
    """`model(token_ids[:, None], cache=cache)[:, -1]` in as few operations as that takes.

    With one token a row, the time goes into reading weights and into calling operations. So the
    weights are laid out for few rows (`packed_product`); those that multiply the same vectors, of
    q, k and v and of w1 and w3, are one matrix; queries and keys are rotated together, as complex
    numbers, by rows that all layers share; norms take four operations (`row_norm`). The model
    itself is not touched, and what it computes is the definition: tests hold the two equal.

    The copy costs a second time the weights' memory, and later changes of a weight are not seen.

    Args:
        model: in evaluation mode, with modules as `TransformerLM` makes them; see `can_step`.
        rows: how many there will be.
    """

    def __init__(self, model: TransformerLM, rows: int) -> None:
        self.config = model.config
        self._token_table = model.token_embeddings.weight.detach()
        positions = model.position_embeddings
        self._position_table = None if positions is None else positions.weight.detach()
        blocks = [block for block in model.layers if isinstance(block, TransformerBlock)]
        self._turns = _turns(blocks[0].attn.rope) if blocks else None
        weights = [weight for block in blocks for weight in _block_weights(block)]
        made = iter(products([*weights, model.lm_head.weight], rows))
        self._blocks = [_BlockStep(block, made) for block in blocks]
        self._ln_final, self._head = row_norm(model.ln_final), next(made)

    @torch.inference_mode()
    def __call__(
        self, token_ids: Int[Tensor, " batch"], cache: KVCache
    ) -> Float[Tensor, "batch vocab_size"]:
        """Score what may follow each of `token_ids`, and append them to the `cache`.

        Returns:
            Logits, `(batch, vocab_size)`.

        Raises:
            IndexError: an id is outside the vocabulary.
            ValueError: the cache is full, or made for another batch size.
        """
        places = cache.next_position(len(token_ids))
        is_token = cache.extend_attention_mask(None, 1)
        mask = decoder_mask(
            1,
            cache.length + 1,
            window=self.config.sliding_window,
            attention_mask=is_token,
            device=token_ids.device,
        )
        x, turn = self._embed(token_ids, _places(cache.length, is_token))
        for block, place in zip(self._blocks, places, strict=True):
            x = block(x, turn, mask, place)
        cache.length += 1
        logits = self._head(self._ln_final(x))
        cap = self.config.logit_soft_cap
        return logits if cap is None else functional.soft_cap(logits, cap)

    def _embed(self, token_ids: Tensor, places: int | Tensor) -> tuple[Tensor, Tensor | None]:
        """The rows of the tables: what enters the first block, and what turns queries and keys."""
        x = self._token_table.index_select(0, token_ids)
        if self._position_table is not None:
            x.add_(self._position_table[places])
        if self._turns is None:
            return x, None
        turn = self._turns[places]
        return x, turn if isinstance(places, int) else turn[:, None, None]


def can_step(model: torch.nn.Module) -> bool:
    """Whether `DecodingStep` stands for all that a call of `model` does.

    It doesn't where a module is another than `TransformerLM` makes, or has hooks, which would not
    be called; nor for `impl="reference"`; nor under autocast, whose products are in another dtype
    than the sums.
    """
    modules = list(model.modules())
    return (
        type(model) is TransformerLM
        and not _is_under_autocast(model)
        and all(type(module) in _KNOWN and not _has_hooks(module) for module in modules)
        # Equal, not the same: a copied model has copied kernels.
        and all(getattr(module, "kernels", FAST) == FAST for module in modules)
    )


def _is_under_autocast(model: TransformerLM) -> bool:
    kind = model.lm_head.weight.device.type  # "meta" has none, and torch refuses to be asked
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _has_hooks(module: torch.nn.Module) -> bool:
    # Torch has no public way to ask.
    return bool(module._forward_hooks or module._forward_pre_hooks)  # pyright: ignore[reportPrivateUsage]


class _BlockStep:
    """What `TransformerBlock` computes, for vectors `(batch, d_model)`."""

    def __init__(self, block: TransformerBlock, made: Iterator[Product]) -> None:
        self._ln1, self._ln2 = row_norm(block.ln1), row_norm(block.ln2)
        self._is_post_norm = block.is_post_norm
        self._attn = _AttentionStep(block.attn, next(made), next(made))
        self._feed = _feed_forward(block.ffn, next(made), next(made))

    def __call__(
        self,
        x: Float[Tensor, "batch d_model"],
        turn: Tensor | None,
        mask: Tensor | None,
        place: NextPosition,
    ) -> Float[Tensor, "batch d_model"]:
        if self._is_post_norm:
            x = self._ln1(self._attn(x, turn, mask, place).add_(x))
            return self._ln2(self._feed(x).add_(x))
        x = self._attn(self._ln1(x), turn, mask, place).add_(x)
        return self._feed(self._ln2(x)).add_(x)


class _AttentionStep:
    """What `MultiheadSelfAttention` computes, for one position a row."""

    def __init__(self, attn: MultiheadSelfAttention, qkv: Product, output: Product) -> None:
        self._attn, self._qkv, self._output = attn, qkv, output
        self._counts = (attn.num_heads, 2 * attn.num_kv_heads)
        self._turned = attn.num_heads + attn.num_kv_heads
        norms = attn.q_norm, attn.k_norm
        self._q_norm, self._k_norm = (None if norm is None else row_norm(norm) for norm in norms)

    def __call__(
        self,
        x: Float[Tensor, "batch d_model"],
        turn: Complex[Tensor, "*places pairs"] | None,
        mask: Bool[Tensor, "... 1 keys"] | None,
        place: NextPosition,
    ) -> Float[Tensor, "batch d_model"]:
        attn, batch = self._attn, len(x)
        heads = self._qkv(x).view(batch, -1, 1, attn.head_dim)  # of queries, keys and values
        if self._q_norm is not None and self._k_norm is not None:
            heads = _normalize(heads, self._q_norm, self._k_norm, self._counts)
        if turn is not None:
            _turn_(heads.narrow(1, 0, self._turned), turn)
        query, others = heads.split(self._counts, dim=1)
        place.slot.copy_(others)
        keys, values = place.keys.to(query.dtype), place.values.to(query.dtype)
        mixed = attn.kernels.grouped_query_attention(query, keys, values, mask)
        return self._output(mixed.reshape(batch, -1))


def _normalize(
    heads: Float[Tensor, "batch heads 1 head_dim"],
    q_norm: Sublayer,
    k_norm: Sublayer,
    counts: tuple[int, int],
) -> Float[Tensor, "batch heads 1 head_dim"]:
    """The `heads` with the queries, the first, and the keys, the next, normalized."""
    query, others = heads.split(counts, dim=1)
    key, value = others.chunk(2, dim=1)
    return torch.cat([q_norm(query), k_norm(key), value], dim=1)


def _turn_(
    heads: Float[Tensor, "batch heads 1 head_dim"], turn: Complex[Tensor, "*places pairs"]
) -> None:
    """RoPE in place: the pair (x_2i, x_2i+1), as one complex number, times e^(i angle)."""
    wide = heads.to(turn.dtype.to_real())  # bf16 has no complex numbers; fp32 stays where it is
    wide.view(turn.dtype).mul_(turn)
    if wide is not heads:
        heads.copy_(wide)


def _turns(rope: RotaryPositionalEmbedding | None) -> Complex[Tensor, "positions pairs"] | None:
    return None if rope is None else torch.complex(rope.cos, rope.sin)


def _places(length: int, is_token: Bool[Tensor, "batch keys"] | None) -> int | Tensor:
    """Where the new tokens stand: one place for all rows, or `(batch,)`, one for each."""
    return length if is_token is None else positions_in_documents(None, is_token)[:, -1]


def _block_weights(block: TransformerBlock) -> Iterator[Tensor]:
    """The four matrices of a block's step: q over k over v, output, w1 over w3, w2."""
    attn, ffn = block.attn, block.ffn
    yield torch.cat([attn.q_proj.weight, attn.k_proj.weight, attn.v_proj.weight]).detach()
    yield attn.output_proj.weight
    if isinstance(ffn, SwiGLU):
        yield torch.cat([ffn.w1.weight, ffn.w3.weight]).detach()
    else:
        yield ffn.w1.weight
    yield ffn.w2.weight


def _feed_forward(ffn: SwiGLU | FeedForward, inner: Product, outer: Product) -> Sublayer:
    """What `ffn` computes, by its two products."""
    if isinstance(ffn, SwiGLU):
        swiglu = ffn.kernels.swiglu
        return lambda x: outer(swiglu(*inner(x).chunk(2, dim=-1)))
    activation = ffn.activation
    return lambda x: outer(activation(inner(x)))
