"""Shapes of well-known models, by name.

They are shapes of our parts: a GPT-2 here has RMSNorm for LayerNorm, no biases and the exact GELU.
Dropout is off in all.
"""

from typing import Any

from nnparts.config import TransformerConfig


def _gpt2(d_model: int, num_layers: int, num_heads: int) -> dict[str, Any]:
    return {
        "vocab_size": 50_257,
        "context_length": 1024,
        "d_model": d_model,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "positions": "learned",
        "feed_forward": "gelu",
        "tied_embeddings": True,
        "residual_init_scaling": True,
    }


def _llama(
    d_model: int, num_layers: int, num_heads: int, d_ff: int, **others: Any
) -> dict[str, Any]:
    return {
        "vocab_size": 32_000,
        "context_length": 2048,
        "d_model": d_model,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "d_ff": d_ff,
        **others,
    }


_FIELDS: dict[str, dict[str, Any]] = {
    # Stanford CS336, assignment 1, section 7.2: the TinyStories model, 17 M weights in its blocks'
    # and head's matrices and 22.7 M in all.
    "ts17m": {
        "vocab_size": 10_000,
        "context_length": 256,
        "d_model": 512,
        "num_layers": 4,
        "num_heads": 16,
        "d_ff": 1344,
    },
    # Radford et al. 2019, Language Models are Unsupervised Multitask Learners, table 2; heads as
    # in the published weights, 64 wide.
    "gpt2-small": _gpt2(768, 12, 12),
    "gpt2-medium": _gpt2(1024, 24, 16),
    "gpt2-large": _gpt2(1280, 36, 20),
    "gpt2-xl": _gpt2(1600, 48, 25),
    # Liu et al. 2024, MobileLLM (https://arxiv.org/abs/2402.14905): 124.6 M and 345.3 M weights.
    "llama-125m": _llama(576, 30, 9, 1536, num_kv_heads=3, tied_embeddings=True),
    "llama-350m": _llama(960, 32, 15, 2560, num_kv_heads=5, tied_embeddings=True),
    # Zhang et al. 2024, TinyLlama (https://arxiv.org/abs/2401.02385), table 1: 1.1 G weights.
    "llama-1b": _llama(2048, 22, 32, 5632, num_kv_heads=4),
}

PRESETS: dict[str, TransformerConfig] = {
    name: TransformerConfig(**fields) for name, fields in _FIELDS.items()
}


def preset(name: str, **overrides: Any) -> TransformerConfig:
    """The config called `name`, with some fields changed.

    Fields that the preset leaves to others follow them: `preset("gpt2-small", d_model=1024)` has
    d_ff 4,096, which `dataclasses.replace` would leave at 3,072.

    Raises:
        KeyError: there is no such preset.
        TypeError: there is no such field.
        ValueError: the fields make no model.
    """
    if name not in _FIELDS:
        raise KeyError(f"there is no preset {name!r}; take one of {', '.join(_FIELDS)}")
    return TransformerConfig(**(_FIELDS[name] | overrides))
