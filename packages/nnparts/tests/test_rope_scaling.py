"""Scaled RoPE against the tables of `transformers` (parity)."""

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
