"""The weights of a `TransformerLM` under Hugging Face's names, in Hugging Face's order.

Their RoPE turns the numbers i and i + head_dim / 2 of a head (halves), ours 2i and 2i + 1 (pairs,
as in Su et al. 2021, eq. 34). What is rotated comes from the rows of `q_proj` and `k_proj`, and is
scaled by the gains of `q_norm` and `k_norm`: reordered alike, they give the same dot products.
"""

from jaxtyping import Float
from torch import Tensor

_OUTSIDE = {
    "token_embeddings": "model.embed_tokens",
    "ln_final": "model.norm",
    "lm_head": "lm_head",
}
_IN_LAYER = {
    "attn.q_proj": "self_attn.q_proj",
    "attn.k_proj": "self_attn.k_proj",
    "attn.v_proj": "self_attn.v_proj",
    "attn.output_proj": "self_attn.o_proj",
    "attn.q_norm": "self_attn.q_norm",
    "attn.k_norm": "self_attn.k_norm",
    "ln1": "input_layernorm",
    "ln2": "post_attention_layernorm",
    "ffn.w1": "mlp.gate_proj",
    "ffn.w2": "mlp.down_proj",
    "ffn.w3": "mlp.up_proj",
}
_ROTATED = ("attn.q_proj", "attn.k_proj", "attn.q_norm", "attn.k_norm")


def huggingface_name(name: str) -> str:
    """`layers.0.ffn.w1.weight` -> `model.layers.0.mlp.gate_proj.weight`."""
    module = name.removesuffix(".weight")
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module]}.weight"
    layers, index, module = module.split(".", 2)
    return f"model.{layers}.{index}.{_IN_LAYER[module]}.weight"


def is_rotated(name: str) -> bool:
    """Whether the rows of our weight `name` make numbers that RoPE turns."""
    return name.removesuffix(".weight").endswith(_ROTATED)


def halves_from_pairs(
    weight: Float[Tensor, "rows ..."], head_dim: int
) -> Float[Tensor, "rows ..."]:
    """Reorder the rows of each head from (pair, member), ours, to (member, pair), theirs."""
    return weight.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2)


def pairs_from_halves(
    weight: Float[Tensor, "rows ..."], head_dim: int
) -> Float[Tensor, "rows ..."]:
    """Undo `halves_from_pairs`."""
    return weight.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
