"""Heads of attention that are made before training, which need not find them then."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from nnparts import MultiheadSelfAttention, TransformerBlock, TransformerLM
from torch import Tensor

from trainkit.copying import look_after_same, scratch_width
from trainkit.looking_back import constant_direction, look_back

_LEAST_SCRATCH = 8  # numbers, to tell tokens apart by


@dataclass(frozen=True)
class MadeHeads:
    """Which heads are made. What they look at is still to be made use of."""

    look_back: int = 0
    """The first heads of the first layer, which look 1, 2, 3, ... tokens back, and as many of the
    second, where there is one: together they look up to twice as far."""
    copying: bool = False
    """Whether the first head of the second layer looks at what followed the same token before, in
    place of one that looks back."""

    def check(self, model: TransformerLM) -> None:
        """Raise ValueError for heads that `model` can't have."""
        config = model.config
        if not self.look_back and not self.copying:
            return
        if self.look_back < 0:
            raise ValueError(f"look_back_heads must be at least 0, got {self.look_back}")
        if config.positions != "rope" or config.qk_norm or self.look_back > config.num_heads:
            raise ValueError(
                "heads that look back need positions='rope', qk_norm=False and as many heads, got"
                f" positions={config.positions!r}, qk_norm={config.qk_norm} and"
                f" num_heads={config.num_heads} for {self.look_back} of them; or look_back_heads=0"
            )
        width = self.scratch_width(model)
        if self.copying and not (
            self.look_back and config.num_layers >= 2 and width >= _LEAST_SCRATCH
        ):
            raise ValueError(
                "a head that copies needs another that looks back, two layers, and pairs that RoPE"
                f" hardly turns, got look_back_heads={self.look_back},"
                f" num_layers={config.num_layers} and {width} of at least {_LEAST_SCRATCH} numbers"
                " a head: a larger rope_theta or a shorter context_length gives more; or"
                " copying_head=False"
            )

    def scratch_width(self, model: TransformerLM) -> int:
        """How many of the residual stream's first numbers must be free for them."""
        context_length = model.config.context_length
        return scratch_width(_attention(model, 0), context_length) if self.copying else 0

    def make(self, model: TransformerLM, token_counts: Float[Tensor, " vocab_size"]) -> None:
        """Make them, in a model whose blocks are silent.

        Args:
            model: whose embeddings have something in common.
            token_counts: `(vocab_size,)`, how often each token occurs.
        """
        if not self.look_back:
            return
        block = model.layers[0]
        assert isinstance(block, TransformerBlock)
        with torch.no_grad():
            entering = block.ln1(model.token_embeddings.weight)
        constant = constant_direction(entering, token_counts)
        for layer in range(min(2, model.config.num_layers)):
            attention = _attention(model, layer)
            # The copying head has its keys for itself and those that share them.
            first = attention.num_heads // attention.num_kv_heads if layer and self.copying else 0
            distances = {head: head - first + 1 for head in range(first, self.look_back)}
            look_back(attention, constant, distances)
        if self.copying:
            look_after_same(model, entering, constant, token_counts)


def _attention(model: TransformerLM, layer: int) -> MultiheadSelfAttention:
    block = model.layers[layer]
    assert isinstance(block, TransformerBlock)
    return block.attn
