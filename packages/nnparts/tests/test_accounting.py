"""Accounting against what torch counts (parity), by its promises (property), and golden numbers."""

import dataclasses
import re
import subprocess
import sys
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
SMALL = {"d_model": 48, "d_ff": 128, "num_heads": 3, "vocab_size": 500, "context_length": 64}
few = settings(max_examples=6, deadline=None)


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


def loss_of(model, batch_size, seq, loss="whole"):
    device = model.token_embeddings.weight.device
    token_ids, targets = torch.zeros(2, batch_size, seq, dtype=torch.int64, device=device).clone()
    if loss == "chunked":
        hidden = model.hidden_states(token_ids.clone())
        soft_cap = model.config.logit_soft_cap
        weight = model.lm_head.weight
        return functional.chunked_cross_entropy(hidden, weight, targets, soft_cap=soft_cap)
    return functional.cross_entropy(model(token_ids.clone()), targets.clone())


# Parameters.


@few
@given(configs())
def test_the_parameters_are_those_of_the_model(config):
    theirs = Counter()
    for name, parameter in TransformerLM(config, device="meta").named_parameters():
        theirs[re.sub(r"layers\.\d+", "layers.*", name)] += parameter.numel()
    assert {count.name: count.total for count in accounting.parameters(config)} == theirs


@pytest.mark.parametrize("name", ["ts17m", "gpt2-small", "llama-1b", "cs336-small"])
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


def kept_bytes(model, batch_size, seq, loss):
    """Bytes of all storages that autograd holds for the backward pass, but the model's own."""
    own = [*model.parameters(), *model.buffers()]
    own = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss_of(model, batch_size, seq, loss)
    return sum(storage.nbytes() for pointer, storage in kept.items() if pointer not in own)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("loss", ["whole", "chunked"])
@given(data=st.data(), batch_size=st.integers(1, 3))
@few
def test_the_activations_are_what_autograd_keeps(dtype, impl, loss, data, batch_size):
    # With a single head or position, two ways to lay a tensor out are one, and torch keeps a view
    # where it otherwise keeps a copy.
    config = data.draw(st.sampled_from([0.0, 0.1]).flatmap(lambda share: configs(share, fewest=2)))
    seq = data.draw(st.integers(2, config.context_length))
    model = TransformerLM(config, impl=impl, dtype=dtype)
    ours = accounting.activations(config, batch_size, seq, dtype=dtype, impl=impl, loss=loss)
    assert ours.total == kept_bytes(model, batch_size, seq, loss), ours.tree()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("feed_forward", ["swiglu", "silu", "gelu", "relu2"])
def test_the_activations_of_every_network_are_what_autograd_keeps(dtype, impl, feed_forward):
    config = preset("ts17m", num_layers=2, feed_forward=feed_forward, **SMALL)
    model = TransformerLM(config, impl=impl, dtype=dtype)
    ours = accounting.activations(config, 2, dtype=dtype, impl=impl)
    assert ours.total == kept_bytes(model, 2, config.context_length, "whole"), ours.tree()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("seq", [16, 17, 64])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_activations_under_a_window_or_dropout_are_what_autograd_keeps(
    dtype, impl, seq, dropout
):
    changes = {"num_layers": 2, "sliding_window": 16, "dropout": dropout}
    config = preset("ts17m", **changes, **SMALL)
    model = TransformerLM(config, impl=impl, dtype=dtype)
    ours = accounting.activations(config, 2, seq, dtype=dtype, impl=impl)
    assert ours.total == kept_bytes(model, 2, seq, "whole"), ours.tree()


class StorageWatch(TorchDispatchMode):
    """Adds up the bytes of the storages that operations make, until these are freed."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.known = weakref.WeakSet()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = self._storages((args, kwargs))
        result = operation(*args, **(kwargs or {}))
        for storage in self._storages(result) - given - set(self.known):
            self.known.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, storage.nbytes())
        return result

    def _free(self, size):
        self.live -= size

    @staticmethod
    def _storages(tree):
        tensors = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))
        return {tensor.untyped_storage() for tensor in tensors}


@pytest.mark.parametrize(
    ("name", "impl", "dtype"),
    [
        ("ts17m", "reference", torch.float32),
        ("ts17m", "fast", torch.bfloat16),
        ("gpt2-small", "fast", torch.float32),
        ("gpt2-small", "reference", torch.bfloat16),
    ],
)
def test_the_peak_of_a_step_is_the_memory(name, impl, dtype):
    config = preset(name, num_layers=2, **SMALL)
    model = TransformerLM(config, impl=impl, dtype=dtype)
    loss_of(model, 4, 64).backward()  # the gradients of an earlier part of the batch
    with StorageWatch() as watch:
        loss_of(model, 4, 64).backward()
    ours = accounting.memory(config, 4, dtype=dtype, impl=impl)
    # Within 1 %: ours counts two numbers a token that the loss has let go of by then.
    assert watch.peak == pytest.approx(ours.activations + ours.logits_gradients, rel=0.01)
    assert watch.live == 0


@pytest.mark.parametrize(
    ("name", "d_model", "dtype"),
    [
        ("ts17m", 48, torch.float32),
        ("gpt2-small", 48, torch.bfloat16),  # the logits of a chunk are the most
        ("ts17m", 960, torch.bfloat16),  # the head's gradient is
    ],
)
def test_the_peak_of_a_step_with_a_chunked_loss_is_the_memory(name, d_model, dtype):
    config = preset(name, num_layers=2, **(SMALL | {"d_model": d_model, "vocab_size": 2_000}))
    model = TransformerLM(config, dtype=dtype)
    loss_of(model, 16, 64, "chunked").backward()
    with StorageWatch() as watch:
        loss_of(model, 16, 64, "chunked").backward()
    ours = accounting.memory(config, 16, dtype=dtype, loss="chunked")
    assert watch.peak == pytest.approx(ours.activations + ours.logits_gradients, rel=0.01)
    assert watch.live == 0


@pytest.mark.parametrize("impl", IMPLS)
def test_the_memory_bounds_the_peak_of_a_step_with_checkpointed_blocks(impl):
    config = preset("ts17m", **SMALL)
    model = TransformerLM(config, impl=impl)
    model.checkpoint_blocks()
    loss_of(model, 4, 64).backward()
    with StorageWatch() as watch:
        loss_of(model, 4, 64).backward()
    kept = accounting.activations(config, 4, impl=impl, checkpoint_blocks=True)
    unbounded = accounting.activations(config, 4, impl=impl)
    assert kept["layers.*"] + kept["loss"] < watch.peak
    logits_gradients = accounting.memory(config, 4).logits_gradients
    assert watch.peak <= kept.total + logits_gradients < unbounded.total


def test_weights_gradients_and_adamws_state_take_what_the_optimizer_holds():
    config = preset("ts17m", **SMALL)
    model = TransformerLM(config)
    optimizer = torch.optim.AdamW(model.parameters())
    loss_of(model, 1, 8).backward()
    optimizer.step()
    states = [state[name] for state in optimizer.state.values() for name in state if name != "step"]
    ours = accounting.memory(config)
    assert ours.parameters == sum(p.nbytes for p in model.parameters())
    assert ours.gradients == sum(p.grad.nbytes for p in model.parameters())
    assert ours.optimizer == sum(state.nbytes for state in states)


@few
@given(configs(), st.integers(0, 10**7), st.booleans())
def test_the_largest_batch_fits_and_one_more_does_not(config, available, checkpoint_blocks):
    options = {"checkpoint_blocks": checkpoint_blocks}
    batch_size = accounting.largest_batch(config, available, **options)
    if batch_size:
        assert accounting.memory(config, batch_size, **options).total <= available
    assert accounting.memory(config, batch_size + 1, **options).total > available


# Time.


def test_the_mfu_of_a_trainings_own_speed_is_the_mfu_it_was_planned_with():
    config = PRESETS["gpt2-small"]
    plan = accounting.training_time(
        config, batch_size=8, num_steps=100, peak_flops=1e12, mfu=0.4, num_devices=2
    )
    tokens_per_second = 100 * 8 * config.context_length / plan.seconds
    mfu = accounting.model_flops_utilization(
        config, tokens_per_second=tokens_per_second, peak_flops=2e12
    )
    assert mfu == pytest.approx(0.4)
    assert plan.cost(3.0) == pytest.approx(3.0 * 2 * plan.days * 24)


@pytest.mark.parametrize(
    "wrong", [{"mfu": 0.0}, {"mfu": 1.5}, {"num_steps": 0}, {"num_devices": 0}, {"peak_flops": 0.0}]
)
def test_a_training_without_speed_or_steps_is_refused(wrong):
    right = {"batch_size": 1, "num_steps": 1, "peak_flops": 1e12}
    with pytest.raises(ValueError, match="a positive num_steps"):
        accounting.training_time(PRESETS["ts17m"], **(right | wrong))


@pytest.mark.parametrize("peak_flops", [0.0, -1.0, float("nan")])
def test_an_mfu_without_a_peak_is_refused(peak_flops):
    with pytest.raises(ValueError, match="peak_flops must be above 0, got"):
        accounting.model_flops_utilization(
            PRESETS["ts17m"], tokens_per_second=1.0, peak_flops=peak_flops
        )


# What is asked, and how it is answered.


def test_a_context_beyond_the_models_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"has 256 positions.*dataclasses.replace"):
        accounting.memory(PRESETS["ts17m"], 1, 257)


def test_a_tree_adds_up_module_by_module():
    counts = accounting.parameters(preset("ts17m", d_model=64, num_heads=2, num_layers=1))
    lines = counts.tree().splitlines()
    assert lines[0].split() == ["parameters", f"{counts.total:,}", "100.0%"]
    assert "    attn" in "\n".join(lines)
    assert counts["layers.*"] == sum(c.total for c in counts if c.name.startswith("layers"))
    with pytest.raises(KeyError, match="nothing is counted under 'layer'"):
        counts["layer"]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ("parameters --config cs336-xl", "2,127,057,600"),
        ("flops --config cs336-xl", "4,513,336,524,800"),
        ("shares --configs gpt2-small gpt2-xl", "gpt2-xl"),
        ("activations --config ts17m --impl reference", "num_layers"),
        ("memory --config cs336-xl --memory 80GB", "largest batch in 80.00 GB: 4"),
        ("memory --config ts17m --batch 32 --loss chunked", "batch"),
        ("memory --config cs336-xl --memory 80GiB", "largest batch in 85.90 GB: 5"),
        ("memory --config cs336-xl --memory 80e9", "largest batch in 80.00 GB: 4"),
        ("parameters --config ts17m --tied-embeddings True", "parameters"),
        ("time --config cs336-xl --batch 1024 --steps 400e3 --peak 19.5e12", "6,583.6 days"),
        ("mfu --config ts17m --tokens-per-second 1e4 --peak 1e13", "11.2%"),
        (
            "parameters --vocab-size 2 --context 1 --d-model 2 --num-layers 1 --num-heads 1",
            "parameters",
        ),
    ],
)
def test_the_command_line_answers(arguments, answer, capsys):
    main(arguments.split())
    assert answer in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("parameters", "give --config or every size"),
        ("parameters --config ts17m --num-heads 7", "d_model must be divisible by num_heads"),
        ("flops --config ts17m --batch 0", "at least one token is needed"),
        ("time --config ts17m --steps 1.5 --peak 1", "invalid _whole value"),
        ("time --config ts17m --steps 1 --peak 0", "argument --peak: must be above 0, got 0"),
        ("mfu --config ts17m --tokens-per-second 1 --peak nan", "must be above 0, got nan"),
        ("memory --config ts17m --memory 80XB", "a number, and one of KB, MB, GB, KiB,"),
        ("memory --config ts17m --memory 80G", "as in 80GB, got '80G'"),
        ("memory --config ts17m --memory infGB", "as in 80GB, got 'infGB'"),
        ("memory --config ts17m --memory GB", "as in 80GB, got 'GB'"),
    ],
)
def test_the_command_line_says_what_is_wrong(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments.split())
    assert message in capsys.readouterr().err


def test_a_switch_that_is_neither_true_nor_false_is_refused():
    # In a process of its own: the tests' type checks would be first to complain.
    command = "-m nnparts.accounting parameters --config ts17m --tied-embeddings false"
    arguments = [sys.executable, *command.split()]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error: tied_embeddings must be True or False, got 'false'" in done.stderr
