"""Parameters: how many numbers a model learns."""

from collections.abc import Iterator

from nnparts.accounting.counts import Counts, sizes
from nnparts.config import TransformerConfig


def parameters(config: TransformerConfig) -> Counts:
    """Every weight of a `TransformerLM(config)`, by its name in the state dict.

    The total is `sum(p.numel() for p in model.parameters())`: a table that embedding and head share
    is counted once. RoPE's tables are not learned, and not counted.

    >>> config = TransformerConfig(50_257, 1_024, 1_600, 48, 25, 6_400)  # GPT-2 XL's sizes
    >>> parameters(config).total
    2127057600
    """
    return Counts.of("parameters", _weights(config), sizes(config))


def _weights(config: TransformerConfig) -> Iterator[tuple[str, str]]:
    yield "token_embeddings.weight", "vocab_size d_model"
    if config.positions == "learned":
        yield "position_embeddings.weight", "context_length d_model"
    for name, formula in _block_weights(config):
        yield f"layers.*.{name}.weight", f"num_layers {formula}"
    if config.norm == "pre":
        yield "ln_final.weight", "d_model"
    if not config.tied_embeddings:
        yield "lm_head.weight", "vocab_size d_model"


def _block_weights(config: TransformerConfig) -> Iterator[tuple[str, str]]:
    if config.norm != "none":
        yield "ln1", "d_model"
    yield "attn.q_proj", "d_model num_heads head_dim"
    yield "attn.k_proj", "d_model num_kv_heads head_dim"
    yield "attn.v_proj", "d_model num_kv_heads head_dim"
    yield "attn.output_proj", "num_heads head_dim d_model"
    if config.qk_norm:
        yield "attn.q_norm", "head_dim"
        yield "attn.k_norm", "head_dim"
    if config.norm != "none":
        yield "ln2", "d_model"
    yield "ffn.w1", "d_model d_ff"
    yield "ffn.w2", "d_ff d_model"
    if config.feed_forward == "swiglu":
        yield "ffn.w3", "d_model d_ff"
