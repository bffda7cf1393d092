"""A `TransformerConfig` as the `config.json` of a Llama, Mistral or Qwen3, and back.

All three are pre-norm decoders with RoPE, SwiGLU and grouped-query attention (Touvron et al. 2023,
https://arxiv.org/abs/2302.13971). Mistral adds a sliding window (Jiang et al. 2023,
https://arxiv.org/abs/2310.06825), Qwen3 an RMSNorm on each head's queries and keys (Yang et al.
2025, https://arxiv.org/abs/2505.09388).
"""

from typing import Any, Literal

from nnparts.config import TransformerConfig
from nnparts.huggingface.rope_fields import read_rope, write_rope

ModelType = Literal["llama", "mistral", "qwen3"]
_ARCHITECTURES: dict[ModelType, str] = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}

# Ours to theirs, where a number means the same on both sides.
_FIELDS = {
    "vocab_size": "vocab_size",
    "context_length": "max_position_embeddings",
    "d_model": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "d_ff": "intermediate_size",
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "norm_eps": "rms_norm_eps",
    "tied_embeddings": "tie_word_embeddings",
}
# Ours that are told by the architecture or by fields of another form.
_TRANSLATED = {"qk_norm", "sliding_window", "rope_theta", "rope_scaling"}
# Ours that act in training alone: logits don't depend on them, and no file of theirs has them all.
_TRAINING_ONLY = {"dropout", "residual_init_scaling"}
# Ours that all three have fixed.
_TWIN = {"norm": "pre", "positions": "rope", "feed_forward": "swiglu", "logit_soft_cap": None}

# What transformers takes for a field that a file leaves out: another guess is another model.
_DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": None,
    "head_dim": None,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
}
_DEFAULTS_OF: dict[ModelType, dict[str, Any]] = {
    "llama": {},
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "qwen3": {
        "num_key_value_heads": 32,
        "head_dim": 128,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "max_window_layers": 28,
    },
}
# Theirs that must be so, or left out: nothing here computes the rest.
_READABLE: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "partial_rotary_factor": (1.0, None),
    "quantization_config": (None,),
}


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """The fields of a `config.json` for a model that computes what `config` describes.

    Of training alone and therefore not written: dropout and residual_init_scaling.

    Raises:
        ValueError: none of the three architectures computes this; the fields are named.
    """
    differing = [name for name, value in _TWIN.items() if getattr(config, name) != value]
    if differing:
        got = ", ".join(f"{name}={getattr(config, name)!r}" for name in differing)
        needed = ", ".join(f"{name}={_TWIN[name]!r}" for name in differing)
        raise ValueError(
            f"a Llama, Mistral or Qwen3 has {needed}; this model has {got}, and no twin there"
        )
    model_type = _twin_of(config)
    return {
        "architectures": [_ARCHITECTURES[model_type]],
        "model_type": model_type,
        **{theirs: getattr(config, ours) for ours, theirs in _FIELDS.items()},
        **write_rope(config),
        **_window_fields(config, model_type),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
    }


def read_config(fields: dict[str, Any]) -> TransformerConfig:
    """The config of the model that a `config.json` with these fields describes.

    Raises:
        ValueError: it is of another architecture, has a part that nothing here computes, or a
            field is missing or makes no model.
    """
    model_type = _model_type(fields)
    fields = {**_DEFAULTS, **_DEFAULTS_OF[model_type], **fields}
    _check_readable(fields)
    numbers = {ours: fields[theirs] for ours, theirs in _FIELDS.items()}
    numbers["norm_eps"] = float(numbers["norm_eps"])  # JSON may write it as an integer
    rope_theta, rope_scaling = read_rope(fields)
    return TransformerConfig(
        **numbers,
        rope_theta=rope_theta,
        rope_scaling=rope_scaling,
        qk_norm=model_type == "qwen3",
        sliding_window=_common_window(fields, model_type),
    )


def _twin_of(config: TransformerConfig) -> ModelType:
    if config.qk_norm:
        return "qwen3"
    # transformers makes no Llama, but any Mistral, whose num_heads doesn't divide d_model.
    if config.sliding_window is not None or config.d_model % config.num_heads:
        return "mistral"
    return "llama"


def _window_fields(config: TransformerConfig, model_type: ModelType) -> dict[str, Any]:
    window, num_layers = config.sliding_window, config.num_layers
    if model_type == "llama":
        return {}
    if model_type == "mistral":
        return {"sliding_window": window}
    has_window = window is not None
    return {
        "sliding_window": window,
        "use_sliding_window": has_window,
        "max_window_layers": 0 if has_window else num_layers,  # the first layer with a window
        "layer_types": ["sliding_attention" if has_window else "full_attention"] * num_layers,
    }


def _model_type(fields: dict[str, Any]) -> ModelType:
    found = fields.get("model_type"), fields.get("architectures")
    for model_type, architecture in _ARCHITECTURES.items():
        if found[0] == model_type and found[1] in (None, [architecture]):
            return model_type
    raise ValueError(
        f"only {', '.join(_ARCHITECTURES.values())} can be read,"
        f" got model_type={found[0]!r} and architectures={found[1]!r}"
    )


def _check_readable(fields: dict[str, Any]) -> None:
    missing = [theirs for theirs in _FIELDS.values() if theirs not in fields]
    if missing:
        raise ValueError(f"the fields {missing} are missing")
    for name, values in _READABLE.items():
        if name in fields and fields[name] not in values:
            raise ValueError(
                f"{name} must be {values[0]!r}, since nothing here computes anything else,"
                f" got {fields[name]!r}"
            )


def _common_window(fields: dict[str, Any], model_type: ModelType) -> int | None:
    """The sliding window of every layer; None where none has one."""
    if model_type == "llama":
        return None
    window = fields["sliding_window"]
    if model_type == "mistral" or window is None:
        return window
    if not fields["use_sliding_window"]:
        return None
    kinds = set(fields.get("layer_types") or _default_layer_types(fields))
    if len(kinds) > 1:
        raise ValueError(
            f"one sliding_window must hold for all layers or for none, got both {sorted(kinds)} in"
            f" layer_types, or {fields['max_window_layers']=} between 0 and num_hidden_layers"
        )
    return window if kinds == {"sliding_attention"} else None


def _default_layer_types(fields: dict[str, Any]) -> list[str]:
    return [
        "sliding_attention" if layer >= fields["max_window_layers"] else "full_attention"
        for layer in range(fields["num_hidden_layers"])
    ]
