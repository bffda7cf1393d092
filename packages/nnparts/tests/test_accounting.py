"""Accounting against what torch counts (parity), its own promises (property), numbers known from elsewhere (golden)."""

import dataclasses
import re
import weakref
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import TransformerConfig, TransformerLM, accounting, functional
from nnparts.accounting.__main__ import main
from nnparts.presets import PRESETS, preset
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

IMPLS = ["reference", "fast"]
few = settings(max_examples=10, deadline=None)


@st.composite
def configs(draw, dropout=0.0, fewest=1):
    """Small models of every kind, with no fewer than `fewest` heads and positions."""
    num_kv_heads = draw(st.integers(fewest, 3))
    return TransformerConfig(
        vocab_size=draw(st.integers(2, 40)),
        context_length=draw(st.integers(fewest, 9)),
        d_model=draw(st.integers(1, 12)),
        num_layers=draw(st.integers(1, 3)),
        num_heads=num_kv_heads * draw(st.integers(1, 3)),
        d_ff=draw(st.integers(1, 20)),
        num_kv_heads=num_kv_heads,
        head_dim=2 * draw(st.integers(1, 4)),
        norm=draw(st.sampled_from(["pre", "post", "none"])),
        qk_norm=draw(st.booleans()),
        positions=draw(st.sampled_from(["rope", "learned", "none"])),
        feed_forward=draw(st.sampled_from(["swiglu", "silu", "gelu", "relu2"])),
        tied_embeddings=draw(st.booleans()),
        logit_soft_cap=draw(st.sampled_from([None, 30.0])),
        sliding_window=draw(st.sampled_from([None, 2])),
        dropout=dropout,
    )


def loss_of(model, batch_size, seq):
    device = model.token_embeddings.weight.device
    token_ids, targets = torch.zeros(2, batch_size, seq, dtype=torch.int64, device=device).clone()
    return functional.cross_entropy(model(token_ids.clone()), targets.clone())


# Parameters.


@few
@given(configs())
def test_the_parameters_are_those_of_the_model(config):
    theirs = Counter()
    for name, parameter in TransformerLM(config, device="meta").named_parameters():
        theirs[re.sub(r"layers\.\d+", "layers.*", name)] += parameter.numel()
    assert {count.name: count.total for count in accounting.parameters(config)} == theirs


@pytest.mark.parametrize("name", PRESETS)
def test_the_parameters_of_a_preset_are_those_of_the_model(name):
    model = TransformerLM(PRESETS[name], device="meta")
    ours = accounting.parameters(PRESETS[name]).total
    assert ours == sum(parameter.numel() for parameter in model.parameters())


def test_gpt2_xl_differs_from_the_published_model_by_its_biases_alone():
    # 1,557,611,200: `openai-community/gpt2-xl` as published. Ours has no biases: 3 d_model for
    # queries, keys and values, d_model for each writer, d_ff, and one for each of the two norms.
    d_model, d_ff, num_layers = 1600, 6400, 48
    biases = num_layers * (3 * d_model + 2 * d_model + d_ff + 2 * d_model) + d_model
    assert accounting.parameters(preset("gpt2-xl")).total + biases == 1_557_611_200


# Floating-point operations.


@few
@given(configs(), st.integers(1, 3), st.data())
def test_the_flops_are_those_that_torch_counts_module_by_module(config, batch_size, data):
    seq = data.draw(st.integers(1, config.context_length))
    model = TransformerLM(config, device="meta", impl="reference")
    with FlopCounterMode(display=False) as counter:
        loss = loss_of(model, batch_size, seq)
    theirs = Counter()
    for name, by_operation in counter.get_flop_counts().items():
        name = re.sub(r"layers\.\d+", "layers.*", name.removeprefix("TransformerLM."))
        theirs[name] += sum(by_operation.values())
    ours = accounting.forward_flops(config, batch_size, seq)
    assert ours.total == counter.get_total_flops()
    for module in ("layers.*.attn.q_proj", "layers.*.attn", "layers.*.ffn", "lm_head"):
        assert ours[module] == theirs[module], module

    with FlopCounterMode(display=False) as counter:
        loss.backward()
    assert accounting.backward_flops(config, batch_size, seq) == counter.get_total_flops()


@few
@given(st.sampled_from([0.0, 0.1]).flatmap(configs), st.integers(1, 3))
def test_checkpointed_blocks_cost_what_torch_counts(config, batch_size):
    model = TransformerLM(config, impl="reference")
    model.checkpoint_blocks()
    with FlopCounterMode(display=False) as counter:
        loss_of(model, batch_size, config.context_length).backward()
    ours = accounting.training_flops(config, batch_size, checkpoint_blocks=True)
    assert ours == counter.get_total_flops()


@few
@given(configs(), st.integers(1, 5))
def test_a_matmuls_formula_is_its_flops(config, batch_size):
    forward = accounting.forward_flops(config, batch_size)
    matmuls = accounting.matmuls(config, batch_size)
    assert [matmul.flops for matmul in matmuls] == [count.total for count in forward]
    names = dataclasses.asdict(config) | {"batch": batch_size, "seq": config.context_length}
    for matmul in matmuls:
        product = eval(matmul.formula.replace(" ", "*"), {}, names)
        assert matmul.flops == product


# Memory.


def kept_bytes(model, batch_size, seq):
    """Bytes of all storages that autograd holds for the backward pass, but the model's own."""
    own = [*model.parameters(), *model.buffers()]
    own = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss_of(model, batch_size, seq)
    return sum(storage.nbytes() for pointer, storage in kept.items() if pointer not in own)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("impl", IMPLS)
@given(data=st.data(), batch_size=st.integers(1, 3))
@few
def test_the_activations_are_what_autograd_keeps(dtype, impl, data, batch_size):
    # With a single head or position, two ways to lay a tensor out are one, and torch keeps a view
    # where it otherwise keeps a copy.
    config = data.draw(configs(fewest=2))
    seq = data.draw(st.integers(2, config.context_length))
    model = TransformerLM(config, impl=impl, dtype=dtype)
    ours = accounting.activations(config, batch_size, seq, dtype=dtype, impl=impl)
    assert ours.total == kept_bytes(model, batch_size, seq), ours.tree()
