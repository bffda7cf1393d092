"""What `config.json` says of a model, and what it can't say (table)."""

import dataclasses
import re

import pytest
from nnparts import RopeScaling, TransformerConfig
from nnparts.huggingface.config import read_config, write_config

DEFAULT = TransformerConfig(97, 32, 48, 3, 4, 80)
# Every field with a value that isn't its default, and what becomes of it.
CARRIED = {
    "vocab_size": 98,
    "context_length": 33,
    "d_model": 52,
    "num_layers": 5,
    "num_heads": 8,
    "d_ff": 81,
    "rope_theta": 500.0,
    "num_kv_heads": 2,
    "head_dim": 14,
    "norm_eps": 1e-3,
    "qk_norm": True,
    "rope_scaling": RopeScaling("yarn", 2.0, 16),
    "tied_embeddings": True,
    "sliding_window": 5,
}
REFUSED = {
    "norm": "post",
    "positions": "none",
    "feed_forward": "gelu",
    "logit_soft_cap": 30.0,
}
TRAINING_ONLY = {"dropout": 0.1, "residual_init_scaling": True}

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 97,
    "max_position_embeddings": 32,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
}
MISTRAL = LLAMA | {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
QWEN3 = LLAMA | {"model_type": "qwen3", "architectures": None, "num_key_value_heads": 4}
WINDOWED = QWEN3 | {"use_sliding_window": True, "sliding_window": 5}


def test_every_field_is_in_one_of_the_tables():
    names = [field.name for field in dataclasses.fields(TransformerConfig)]
    assert sorted([*CARRIED, *REFUSED, *TRAINING_ONLY]) == sorted(names)


@pytest.mark.parametrize("other", [{}, {"qk_norm": True}, {"sliding_window": 7}])
@pytest.mark.parametrize("name", CARRIED)
def test_what_both_sides_know_comes_back(name, other):
    config = dataclasses.replace(DEFAULT, **other | {name: CARRIED[name]})
    assert getattr(config, name) != getattr(DEFAULT, name)
    assert read_config(write_config(config)) == config


@pytest.mark.parametrize("kind", ["linear", "llama3", "yarn"])
def test_every_scaling_of_rope_comes_back(kind):
    original = None if kind == "linear" else 16
    factors = {"llama3": (0.5, 8.0, 32.0, 1.0), "yarn": (1.0, 4.0, 16.0, 2.0)}
    scaling = RopeScaling(kind, 2.0, original, *factors.get(kind, ()))
    config = dataclasses.replace(DEFAULT, rope_scaling=scaling)
    assert read_config(write_config(config)) == config


@pytest.mark.parametrize("name", REFUSED)
def test_what_they_do_not_know_is_refused_by_name(name):
    config = dataclasses.replace(DEFAULT, **{name: REFUSED[name]})
    with pytest.raises(ValueError, match=re.escape(f"this model has {name}={REFUSED[name]!r}")):
        write_config(config)


def test_all_that_they_do_not_know_is_named_at_once():
    config = dataclasses.replace(DEFAULT, norm="none", logit_soft_cap=1.0)
    with pytest.raises(ValueError, match=r"has norm='none', logit_soft_cap=1\.0"):
        write_config(config)


@pytest.mark.parametrize("name", TRAINING_ONLY)
def test_what_acts_in_training_alone_changes_nothing(name):
    config = dataclasses.replace(DEFAULT, **{name: TRAINING_ONLY[name]})
    assert write_config(config) == write_config(DEFAULT)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (LLAMA, {}),
        (LLAMA | {"rope_theta": None, "rope_parameters": {"rope_theta": 5}}, {"rope_theta": 5.0}),
        (LLAMA | {"rope_theta": 7, "rope_parameters": {"type": "default"}}, {"rope_theta": 7.0}),
        (LLAMA | {"num_key_value_heads": None, "head_dim": None}, {}),
        (LLAMA | {"hidden_act": "swish", "rms_norm_eps": 1}, {"norm_eps": 1.0}),
        (LLAMA | {"sliding_window": 5}, {}),  # a Llama has none, whatever its file says
        (
            MISTRAL | {"num_attention_heads": 8, "hidden_size": 64},
            {"num_heads": 8, "d_model": 64, "num_kv_heads": 8, "head_dim": 8}
            | {"sliding_window": 4096},
        ),
        (MISTRAL | {"num_key_value_heads": 2, "sliding_window": None}, {"num_kv_heads": 2}),
        (QWEN3, {"qk_norm": True, "head_dim": 128}),
        (WINDOWED | {"max_window_layers": 0}, {"sliding_window": 5}),
        (WINDOWED | {"max_window_layers": 3}, {}),
        (WINDOWED | {"layer_types": ["sliding_attention"] * 3}, {"sliding_window": 5}),
        (WINDOWED | {"layer_types": ["full_attention"] * 3}, {}),
        (WINDOWED | {"use_sliding_window": False, "max_window_layers": 0}, {}),
    ],
)
def test_what_a_file_leaves_out_is_what_transformers_takes(fields, expected):
    if fields["model_type"] == "qwen3":
        expected = {"qk_norm": True, "head_dim": 128} | expected
    config = dataclasses.replace(
        DEFAULT, **{"norm_eps": 1e-6, "num_kv_heads": None, "head_dim": None} | expected
    )
    assert read_config(fields) == config


@pytest.mark.parametrize(
    ("rope", "expected"),
    [
        ({"rope_type": "linear", "factor": 4}, RopeScaling("linear", 4.0)),
        ({"type": "linear", "factor": 4.0}, RopeScaling("linear", 4.0)),
        # Without it, the trained context is the context.
        ({"rope_type": "yarn", "factor": 2.0}, RopeScaling("yarn", 2.0, 32)),
        (
            {"rope_type": "yarn", "factor": 2, "beta_fast": None, "truncate": True}
            | {"attention_factor": 1.0693147180559945, "original_max_position_embeddings": 16},
            RopeScaling("yarn", 2.0, 16),
        ),
        ({"rope_type": "default", "partial_rotary_factor": 1.0}, None),
    ],
)
def test_rope_is_read_as_people_write_it(rope, expected):
    assert read_config(LLAMA | {"rope_scaling": rope}).rope_scaling == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "gpt2"}, "only LlamaForCausalLM.*got model_type='gpt2'"),
        ({"architectures": ["LlamaModel"]}, r"architectures=\['LlamaModel'\]"),
        ({"attention_bias": True}, "attention_bias must be False.*got True"),
        ({"mlp_bias": True}, "mlp_bias must be False.*got True"),
        ({"hidden_act": "gelu"}, "hidden_act must be 'silu'.*got 'gelu'"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor must be 1.0.*got 0.5"),
        ({"quantization_config": {"bits": 4}}, "quantization_config must be None.*'bits': 4"),
        ({"vocab_size": 0}, "vocab_size must be a positive integer, got 0"),
        ({"num_key_value_heads": 3}, "num_heads=4 and num_kv_heads=3"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "got rope_type='dynamic'"),
        ({"rope_scaling": 2.0}, "RoPE's scaling must be an object or null, got 2.0"),
        ({"rope_scaling": {"rope_type": "linear"}}, r"\['factor'\] must be given"),
        (
            {"rope_scaling": {"rope_type": "llama3", "factor": 2.0}},
            r"\['high_freq_factor', 'low_freq_factor'\] must be given",
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "attention_factor": 1.0}},
            "what {'attention_factor': 1.0} asks for",
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "truncate": False}},
            "what {'truncate': False} asks for",
        ),
        ({"rope_parameters": {"full_attention": {"rope_theta": 5.0}}}, "with {'full_attention'"),
    ],
)
def test_what_we_do_not_compute_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        read_config(LLAMA | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_window_layers": 1},
        {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ],
)
def test_windows_in_some_layers_only_are_refused(fields):
    with pytest.raises(ValueError, match="one sliding_window must hold for all layers"):
        read_config(WINDOWED | fields)


def test_fields_that_are_missing_are_named():
    with pytest.raises(ValueError, match=r"\['hidden_size', 'num_attention_heads'\] are missing"):
        read_config(
            {name: LLAMA[name] for name in LLAMA.keys() - {"hidden_size", "num_attention_heads"}}
        )
