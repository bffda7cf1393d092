"""TransformerConfig: its round trip (property) and what it refuses (table)."""

import json

import pytest
from nnparts import TransformerConfig

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
        ({"rope_theta": 0.0}, "rope_theta must be positive and finite, got 0.0"),
        ({"rope_theta": float("inf")}, "rope_theta must be positive and finite, got inf"),
        ({"n_layer": 2}, r"got unknown=\['n_layer'\]"),
    ],
)
def test_it_refuses_what_makes_no_model(change, message):
    with pytest.raises(ValueError, match=message):
        TransformerConfig.from_dict(GOOD | change)


def test_it_names_a_field_that_is_missing():
    with pytest.raises(ValueError, match=r"missing=\['d_model', 'vocab_size'\]"):
        TransformerConfig.from_dict(
            {name: GOOD[name] for name in GOOD if name not in ("d_model", "vocab_size")}
        )
