"""Scaled RoPE against the tables of `transformers` (parity), and what it refuses (table)."""

import inspect

import pytest
import torch
from nnparts import RopeScaling, RotaryPositionalEmbedding
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

KINDS = {
    "linear": RopeScaling("linear", 4.0),
    "llama3": RopeScaling("llama3", 8.0, 64),
    "llama3 with bounds of its own": RopeScaling(
        "llama3", 8.0, 128, low_freq_factor=2.0, high_freq_factor=3.0
    ),
    "yarn": RopeScaling("yarn", 4.0, 64),
    "yarn with bounds of its own": RopeScaling("yarn", 16.0, 128, beta_fast=8.0, beta_slow=2.0),
    "yarn whose ramp is a step": RopeScaling("yarn", 2.0, 6),
}
HEAD_DIM, CONTEXT_LENGTH, THETA = 32, 300, 500.0


def their_tables(scaling):
    parameters = {"rope_type": scaling.kind, "rope_theta": THETA, "factor": scaling.factor}
    if scaling.kind != "linear":
        parameters["original_max_position_embeddings"] = scaling.original_context_length
    if scaling.kind == "llama3":
        parameters["low_freq_factor"] = scaling.low_freq_factor
        parameters["high_freq_factor"] = scaling.high_freq_factor
    if scaling.kind == "yarn":
        parameters["beta_fast"], parameters["beta_slow"] = scaling.beta_fast, scaling.beta_slow
    config = LlamaConfig(
        hidden_size=HEAD_DIM,
        num_attention_heads=1,
        max_position_embeddings=CONTEXT_LENGTH,
        rope_parameters=parameters,
    )
    rope = LlamaRotaryEmbedding(config)
    cos, sin = rope(torch.zeros(1), torch.arange(CONTEXT_LENGTH)[None])
    return cos[0, :, : HEAD_DIM // 2], sin[0, :, : HEAD_DIM // 2]


@pytest.mark.parametrize("scaling", KINDS.values(), ids=KINDS)
def test_the_tables_are_those_of_transformers(scaling):
    ours = RotaryPositionalEmbedding(THETA, HEAD_DIM, CONTEXT_LENGTH, scaling=scaling)
    for our_table, their_table in zip((ours.cos, ours.sin), their_tables(scaling), strict=True):
        # Their angles, up to 300, are products in fp32, each rounded by up to 300 * 2^-24 = 2e-5.
        torch.testing.assert_close(our_table, their_table, atol=5e-5, rtol=0)


def test_a_factor_of_one_changes_nothing():
    plain = RotaryPositionalEmbedding(THETA, HEAD_DIM, 8)
    for scaling in (RopeScaling("linear", 1.0), RopeScaling("yarn", 1.0, 64)):
        scaled = RotaryPositionalEmbedding(THETA, HEAD_DIM, 8, scaling=scaling)
        torch.testing.assert_close(scaled.cos, plain.cos)


def test_linear_scaling_reads_a_position_as_one_nearer():
    plain = RotaryPositionalEmbedding(THETA, HEAD_DIM, 8)
    scaled = RotaryPositionalEmbedding(THETA, HEAD_DIM, 29, scaling=RopeScaling("linear", 4.0))
    torch.testing.assert_close(scaled.sin[::4], plain.sin)


def test_yarn_sharpens_attention():
    rope = RotaryPositionalEmbedding(THETA, 4, 8, scaling=RopeScaling("yarn", 4.0, 64))
    x = torch.randn(8, 4)
    longer = rope(x).norm(dim=-1) / x.norm(dim=-1)
    # Peng et al. 2023, eq. 22: 0.1 ln 4 + 1.
    torch.testing.assert_close(longer, torch.full((8,), 1.1386294))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "ntk"}, r"kind must be one of \('linear', 'llama3', 'yarn'\), got 'ntk'"),
        ({"factor": 0.5}, "factor must be at least 1, got 0.5"),
        ({"factor": float("inf")}, "factor must be positive and finite, got inf"),
        ({"factor": None}, "factor must be positive and finite, got None"),
        ({"factor": "2"}, "factor must be positive and finite, got '2'"),
        ({"kind": "llama3"}, "kind='llama3' needs original_context_length, got None"),
        ({"kind": "yarn"}, "kind='yarn' needs original_context_length, got None"),
        ({"original_context_length": 0}, "original_context_length must be positive and finite"),
        ({"low_freq_factor": 0.0}, "low_freq_factor must be positive and finite, got 0.0"),
        (
            {"low_freq_factor": 4.0},
            "low_freq_factor must be below high_freq_factor, got 4.0 and 4.0",
        ),
        ({"beta_slow": 32.0}, "beta_slow must be below beta_fast, got 32.0 and 32.0"),
        ({"beta_fast": -1.0}, "beta_fast must be positive and finite, got -1.0"),
    ],
)
def test_it_refuses_what_makes_no_scaling(fields, message):
    # Unwrapped: the tests' own type checks would be first to complain of text and None.
    make = inspect.unwrap(RopeScaling.__init__)
    with pytest.raises(ValueError, match=message):
        make(RopeScaling.__new__(RopeScaling), **({"kind": "linear", "factor": 2.0} | fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "linear"}, r"got unknown=\[\] and missing=\['factor'\]"),
        ({"factor": 2.0}, r"got unknown=\[\] and missing=\['kind'\]"),
        ({"kind": "linear", "factor": 2.0, "type": "linear"}, r"got unknown=\['type'\]"),
    ],
)
def test_it_names_fields_that_are_missing_or_unknown(fields, message):
    with pytest.raises(ValueError, match=message):
        RopeScaling.from_dict(fields)
