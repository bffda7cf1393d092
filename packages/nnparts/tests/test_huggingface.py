"""Models that go to `transformers` and come from there compute the same (parity, property).

Theirs are made from random weights, large enough that logits are near 1: a tolerance of 1e-4 then
means four digits.
"""

import copy
import dataclasses
import json
import math

import pytest
import torch
from nnparts import RopeScaling, TransformerConfig, TransformerLM, from_huggingface, to_huggingface
from nnparts.huggingface.names import halves_from_pairs, pairs_from_halves
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen3Config

SEQ = 24
SHAPE = {
    "vocab_size": 97,
    "max_position_embeddings": 32,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 80,
    "tie_word_embeddings": False,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "original_max_position_embeddings": 16,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
YARN = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16}
THEIRS = {
    "llama": (LlamaConfig, {}),
    "llama, a key for each query": (LlamaConfig, {"num_key_value_heads": 4}),
    "llama, tied": (LlamaConfig, {"tie_word_embeddings": True}),
    "llama, wide heads": (LlamaConfig, {"head_dim": 20}),
    "llama, other base and eps": (LlamaConfig, {"rope_theta": 500.0, "rms_norm_eps": 0.1}),
    "llama, linear": (LlamaConfig, {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
    "llama, llama3": (LlamaConfig, {"rope_scaling": LLAMA3}),
    "llama, yarn": (LlamaConfig, {"rope_scaling": YARN}),
    "mistral": (MistralConfig, {"sliding_window": None, "hidden_size": 42, "head_dim": 14}),
    "mistral, window": (MistralConfig, {"sliding_window": 5}),
    "qwen3": (Qwen3Config, {"head_dim": 16}),
    "qwen3, tied, yarn": (
        Qwen3Config,
        {"head_dim": 16, "tie_word_embeddings": True, "rope_scaling": YARN},
    ),
    "qwen3, window": (
        Qwen3Config,
        {"head_dim": 8, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 0},
    ),
}
DEFAULT = TransformerConfig(97, 32, 48, 3, 4, 80, num_kv_heads=2)
OURS = {
    "llama": {},
    "llama, as many keys": {"num_kv_heads": 4, "rope_theta": 500.0, "norm_eps": 0.1},
    "llama, tied": {"tied_embeddings": True, "head_dim": 20},
    "llama, linear": {"rope_scaling": RopeScaling("linear", 4.0)},
    "llama, llama3": {"rope_scaling": RopeScaling("llama3", 8.0, 16)},
    "llama, yarn": {"rope_scaling": RopeScaling("yarn", 2.0, 16, beta_fast=8.0)},
    "mistral": {"d_model": 42, "head_dim": 14},
    "mistral, window": {"sliding_window": 5},
    "qwen3": {"qk_norm": True},
    "qwen3, tied, window": {"qk_norm": True, "tied_embeddings": True, "sliding_window": 5},
}


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small lose by a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@torch.no_grad()
def randomize(model):
    """Matrices that keep the size of what they map; gains around 1, each another."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=1.5 * parameter.shape[1] ** -0.5, generator=generator)
        else:
            parameter.uniform_(0.5, 2.0, generator=generator)
    return model.eval()


def make_theirs(config_class, fields, dtype=torch.float32):
    # A copy: transformers writes into the dict of RoPE that it is given.
    config = config_class(**copy.deepcopy(SHAPE | fields))
    return randomize(AutoModelForCausalLM.from_config(config)).to(dtype)


def make_ours(**fields):
    config = dataclasses.replace(DEFAULT, **{"head_dim": None} | fields)
    return randomize(TransformerLM(config))


def assert_same_logits(ours, theirs):
    token_ids = torch.randint(97, (2, SEQ), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        our_logits, their_logits = ours(token_ids), theirs(token_ids).logits
    assert their_logits.std() > 0.3
    torch.testing.assert_close(our_logits, their_logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", THEIRS)
def test_a_model_of_theirs_gives_the_same_logits_here(case, tmp_path):
    theirs = make_theirs(*THEIRS[case])
    theirs.save_pretrained(tmp_path)
    assert_same_logits(from_huggingface(tmp_path), theirs)


@pytest.mark.parametrize("case", OURS)
def test_a_model_of_ours_gives_the_same_logits_there(case, tmp_path):
    ours = make_ours(**OURS[case])
    to_huggingface(ours, tmp_path)
    theirs, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())  # missing, unexpected, mismatched
    assert theirs.config.model_type == case.split(",")[0]
    assert_same_logits(ours, theirs)


@pytest.mark.parametrize(
    ("case", "dtype"),
    [(case, torch.float32) for case in OURS]
    + [("qwen3, tied, window", dtype) for dtype in (torch.float64, torch.bfloat16, torch.float16)],
)
def test_a_model_of_ours_comes_back_bit_for_bit(case, dtype, tmp_path):
    ours = make_ours(**OURS[case]).to(dtype)
    to_huggingface(ours, tmp_path)
    back = from_huggingface(tmp_path)
    assert back.config == ours.config
    assert back.state_dict().keys() == ours.state_dict().keys()
    for name, weight in ours.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], weight, atol=0, rtol=0)


@pytest.mark.parametrize("fields", [LLAMA3, YARN, {"rope_type": "linear", "factor": 4.0}, None])
def test_both_layouts_of_rope_are_read_alike(fields, tmp_path):
    make_theirs(LlamaConfig, {"rope_scaling": fields, "rope_theta": 500.0}).save_pretrained(
        tmp_path
    )
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for layout in ("rope_parameters", "rope_theta", "rope_scaling"):
        config.pop(layout, None)
    rope = {"rope_type": "default"} if fields is None else fields
    path.write_text(json.dumps(config | {"rope_parameters": rope | {"rope_theta": 500.0}}))
    new = from_huggingface(tmp_path)
    path.write_text(json.dumps(config | {"rope_scaling": fields, "rope_theta": 500}))
    old = from_huggingface(tmp_path)
    assert old.config == new.config
    assert old.config.rope_theta == 500.0
    assert (old.config.rope_scaling is None) == (fields is None)


def test_shards_of_theirs_are_read(tmp_path):
    theirs = make_theirs(*THEIRS["qwen3"])
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 3
    assert_same_logits(from_huggingface(tmp_path), theirs)


def test_shards_of_ours_are_read(tmp_path):
    ours = make_ours()
    to_huggingface(ours, tmp_path, max_shard_bytes=40_000)
    shards = list(tmp_path.glob("model-*-of-*.safetensors"))
    assert len(shards) > 3
    assert all(shard.stat().st_size < 40_000 + 2_000 for shard in shards)  # a header is less
    assert not (tmp_path / "model.safetensors").exists()
    assert_same_logits(ours, AutoModelForCausalLM.from_pretrained(tmp_path))
    assert_same_logits(from_huggingface(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path))


def test_a_weight_larger_than_a_shard_gets_one_alone(tmp_path):
    ours = make_ours()
    to_huggingface(ours, tmp_path, max_shard_bytes=1)
    assert len(list(tmp_path.glob("model-*"))) == len(list(ours.parameters()))
    assert from_huggingface(tmp_path).config == ours.config


def test_bf16_is_kept_or_converted(tmp_path):
    make_theirs(*THEIRS["llama"], torch.bfloat16).save_pretrained(tmp_path)
    assert {p.dtype for p in from_huggingface(tmp_path).parameters()} == {torch.bfloat16}
    ours = from_huggingface(tmp_path, dtype=torch.float32)
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    # Read anew, not converted: `.float()` would keep RoPE's frequencies as rounded to bf16.
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert_same_logits(ours, theirs)


def test_bf16_is_written_where_asked_for(tmp_path):
    ours = make_ours()
    to_huggingface(ours, tmp_path, dtype=torch.bfloat16)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert {p.dtype for p in theirs.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    assert_same_logits(ours.bfloat16().float(), theirs.float())


def test_one_trained_in_mixed_dtypes_says_which_is_meant(tmp_path):
    ours = make_ours()
    ours.layers.bfloat16()
    with pytest.raises(ValueError, match="bfloat16, float32: say by dtype="):
        to_huggingface(ours, tmp_path)
    to_huggingface(ours, tmp_path, dtype=torch.float32)
    assert {p.dtype for p in from_huggingface(tmp_path).parameters()} == {torch.float32}


def test_generation_there_ends_at_the_token_given_or_never(tmp_path):
    ours = make_ours()
    for eos_token_id in (None, 7):
        to_huggingface(ours, tmp_path, eos_token_id=eos_token_id)
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
        assert theirs.generation_config.eos_token_id == eos_token_id
        assert theirs.config.eos_token_id == eos_token_id
        assert theirs.generation_config.bos_token_id is None


def test_a_model_from_there_can_be_trained(tmp_path):
    make_theirs(*THEIRS["llama, tied"]).save_pretrained(tmp_path)
    ours = from_huggingface(tmp_path)
    ours(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    assert all(p.requires_grad and p.grad is not None for p in ours.parameters())
    assert ours.lm_head.weight is ours.token_embeddings.weight


@pytest.mark.parametrize("shape", [(24, 5), (24, 0), (24,), (6,)])
@pytest.mark.parametrize("head_dim", [2, 6])
def test_reordering_rows_is_undone(shape, head_dim):
    weight = torch.arange(math.prod(shape)).view(shape).float()
    there = halves_from_pairs(weight, head_dim)
    assert torch.equal(pairs_from_halves(there, head_dim), weight)


def test_a_head_is_reordered_to_its_even_rows_and_then_its_odd_ones():
    there = halves_from_pairs(torch.arange(12.0), 6)
    assert there.tolist() == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
