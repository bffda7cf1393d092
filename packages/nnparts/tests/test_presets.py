"""Presets: their weights against published counts (golden)."""

import pytest
from nnparts import PRESETS, TransformerLM, preset

# With the biases of every matrix and norm, which ours lack.
GPT2_PUBLISHED = {
    "gpt2-small": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
}


def count(config):
    return sum(weight.numel() for weight in TransformerLM(config, device="meta").parameters())


@pytest.mark.parametrize(("name", "published"), GPT2_PUBLISHED.items())
def test_a_gpt2_has_the_published_weights_but_for_its_biases(name, published):
    config = PRESETS[name]
    # A layer's biases: attention 3 d + d, feed-forward 4 d + d, two norms 2 d; the last norm's d.
    biases = config.num_layers * 11 * config.d_model + config.d_model
    assert count(config) == published - biases


@pytest.mark.parametrize(
    ("name", "millions"),
    # Published, in the matrices: MobileLLM's model cards, TinyLlama's table 1. ts17m: the sum of
    # CS336's sizes; its 17 M leave the embedding out.
    [("ts17m", 22.7), ("llama-125m", 124.6), ("llama-350m", 345.3), ("llama-1b", 1100.0)],
)
def test_a_llama_has_the_published_weights(name, millions):
    model = TransformerLM(PRESETS[name], device="meta")
    matrices = sum(weight.numel() for weight in model.parameters() if weight.ndim == 2)
    assert round(matrices / 1e6, 1) == millions


def test_what_a_preset_leaves_open_follows_what_is_changed():
    assert preset("gpt2-small", d_model=1536).d_ff == 6144
    assert preset("gpt2-small", d_model=1536).head_dim == 128
    assert preset("ts17m") == PRESETS["ts17m"]


def test_it_names_the_presets_there_are():
    with pytest.raises(KeyError, match="no preset 'gpt2'; take one of ts17m, gpt2-small"):
        preset("gpt2")
