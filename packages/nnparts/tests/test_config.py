"""TransformerConfig: its round trip (property) and what it refuses (table)."""

import inspect
import json

import pytest
from nnparts import RopeScaling, TransformerConfig

GOOD = {
    "vocab_size": 100,
    "context_length": 16,
    "d_model": 32,
    "num_layers": 2,
    "num_heads": 4,
    "d_ff": 64,
    "rope_theta": 10_000.0,
}


def test_the_order_of_the_fields_is_fixed():
    assert TransformerConfig(100, 16, 32, 2, 4, 64, 10_000.0) == TransformerConfig(**GOOD)


def test_json_brings_a_config_back():
    config = TransformerConfig(100, 16, 32, 2, 4)
    assert TransformerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "scaling", [RopeScaling("linear", 2.0), RopeScaling("yarn", 4.0, 16, beta_fast=8.0)]
)
def test_json_brings_a_scaling_of_rope_back(scaling):
    config = TransformerConfig(**GOOD, rope_scaling=scaling)
    again = TransformerConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.rope_scaling == scaling


def test_a_d_ff_that_was_left_out_is_filled_in():
    config = TransformerConfig(100, 16, 512, 2, 4)
    assert config.d_ff == 1344
    assert config.to_dict()["d_ff"] == 1344


def test_head_dim_is_the_width_of_one_head():
    assert TransformerConfig(**GOOD).head_dim == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be a positive integer, got 0"),
        ({"context_length": -1}, "context_length must be a positive integer, got -1"),
        ({"num_layers": True}, "num_layers must be a positive integer, got True"),
        ({"d_ff": 0}, "d_ff must be a positive integer, got 0"),
        ({"num_heads": 5}, "d_model must be divisible by num_heads.*d_model=32 and num_heads=5"),
        ({"num_heads": 32}, "must be even .* got head_dim=1 from d_model=32 and num_heads=32"),
        ({"num_kv_heads": 3}, "divisible by num_kv_heads, got num_heads=4 and num_kv_heads=3"),
        ({"head_dim": -8}, "head_dim must be a positive integer, got -8"),
        ({"rope_theta": 0.0}, "rope_theta must be positive and finite, got 0.0"),
        ({"rope_theta": float("inf")}, "rope_theta must be positive and finite, got inf"),
        ({"norm_eps": 0}, "norm_eps must be positive and finite, got 0"),
        ({"logit_soft_cap": -30.0}, "logit_soft_cap must be positive and finite, got -30.0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\), got -0.1"),
        ({"sliding_window": 0}, "sliding_window must be a positive integer, got 0"),
        (
            {"rope_scaling": RopeScaling("linear", 2.0), "positions": "learned"},
            "rope_scaling needs positions='rope', got positions='learned'",
        ),
        (
            {"rope_scaling": RopeScaling("yarn", 2.0, 8), "rope_theta": 1.0},
            "rope_scaling of kind 'yarn' needs rope_theta above 1, got rope_theta=1.0",
        ),
        (
            {"rope_scaling": {"kind": "linear", "factors": 2.0}},
            r"a RopeScaling has the fields .* got unknown=\['factors'\] and missing=\['factor'\]",
        ),
        ({"n_layer": 2}, r"got unknown=\['n_layer'\]"),
    ],
)
def test_it_refuses_what_makes_no_model(change, message):
    with pytest.raises(ValueError, match=message):
        TransformerConfig.from_dict(GOOD | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_theta": None}, "rope_theta must be positive and finite, got None"),
        ({"rope_theta": "10000"}, "rope_theta must be positive and finite, got '10000'"),
        ({"norm_eps": None}, "norm_eps must be positive and finite, got None"),
        ({"norm_eps": "small"}, "norm_eps must be positive and finite, got 'small'"),
        ({"logit_soft_cap": True}, "logit_soft_cap must be positive and finite, got True"),
        ({"dropout": "none"}, r"dropout must be in \[0, 1\), got 'none'"),
        ({"sliding_window": 2.0}, "sliding_window must be a positive integer, got 2.0"),
        ({"norm": "layer"}, r"norm must be one of \('pre', 'post', 'none'\), got 'layer'"),
        ({"positions": "alibi"}, r"positions must be one of \('rope', .*\), got 'alibi'"),
        ({"feed_forward": "relu"}, r"feed_forward must be one of \('swiglu', .*\), got 'relu'"),
        ({"qk_norm": "false"}, "qk_norm must be True or False, got 'false'"),
        ({"tied_embeddings": 0}, "tied_embeddings must be True or False, got 0"),
        ({"residual_init_scaling": None}, "residual_init_scaling must be True or False, got None"),
        ({"rope_scaling": "linear"}, "rope_scaling must be a RopeScaling or None, got 'linear'"),
    ],
)
def test_it_refuses_what_is_of_another_type(change, message):
    # Unwrapped: the tests' own type checks would be first to complain.
    make = inspect.unwrap(TransformerConfig.__init__)
    with pytest.raises(ValueError, match=message):
        make(TransformerConfig.__new__(TransformerConfig), **(GOOD | change))


def test_it_names_a_field_that_is_missing():
    with pytest.raises(ValueError, match=r"missing=\['d_model', 'vocab_size'\]"):
        TransformerConfig.from_dict(
            {name: GOOD[name] for name in GOOD if name not in ("d_model", "vocab_size")}
        )
