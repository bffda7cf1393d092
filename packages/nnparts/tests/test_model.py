"""The whole model: its names (golden), what it promises (property), where it runs (table)."""

import itertools
import os
import shutil
import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import TransformerConfig, TransformerLM, functional

CONFIG = TransformerConfig(
    vocab_size=50, context_length=12, d_model=16, num_layers=2, num_heads=2, d_ff=32
)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
# The names and shapes of the Stanford CS336 reference checkpoint, assignment 1, at this size.
LAYER_SHAPES = {
    "attn.q_proj.weight": (16, 16),
    "attn.k_proj.weight": (16, 16),
    "attn.v_proj.weight": (16, 16),
    "attn.output_proj.weight": (16, 16),
    "ln1.weight": (16,),
    "ffn.w1.weight": (32, 16),
    "ffn.w2.weight": (16, 32),
    "ffn.w3.weight": (32, 16),
    "ln2.weight": (16,),
}
STATE_SHAPES = {
    "token_embeddings.weight": (50, 16),
    **{f"layers.{i}.{name}": shape for i in range(2) for name, shape in LAYER_SHAPES.items()},
    "ln_final.weight": (16,),
    "lm_head.weight": (50, 16),
}


def make(seed=0, **options):
    return TransformerLM(CONFIG, generator=torch.Generator().manual_seed(seed), **options)


def some_ids(*shape, seed=1):
    return torch.randint(50, shape, generator=torch.Generator().manual_seed(seed))


def test_the_weights_go_by_the_reference_names():
    assert {name: tuple(w.shape) for name, w in make().state_dict().items()} == STATE_SHAPES


def test_a_state_dict_loads_strictly_and_brings_the_model_back():
    ours, other = make(0), make(1)
    other.load_state_dict(ours.state_dict(), strict=True)
    assert torch.equal(ours(some_ids(2, 12)), other(some_ids(2, 12)))


def test_a_seed_decides_the_model():
    assert torch.equal(make(0)(some_ids(1, 5)), make(0)(some_ids(1, 5)))
    assert not torch.equal(make(0)(some_ids(1, 5)), make(1)(some_ids(1, 5)))


@pytest.mark.parametrize("leading", [(), (3,), (2, 2), (0,), (2, 0)])
@pytest.mark.parametrize("seq", [0, 1, 12])
def test_leading_dimensions_are_a_batch(leading, seq):
    model, token_ids = make(dtype=torch.float64), some_ids(*leading, seq)
    logits = model(token_ids)
    assert logits.shape == (*leading, seq, 50)
    for row in itertools.product(*map(range, leading)):
        torch.testing.assert_close(model(token_ids[row]), logits[row])


@given(st.integers(1, 11), st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_future_tokens_do_not_change_past_logits(cut, seed):
    model, token_ids = make(dtype=torch.float64), some_ids(1, 12)
    changed = token_ids.clone()
    changed[:, cut:] = (changed[:, cut:] + 1 + some_ids(1, 12 - cut, seed=seed) % 49) % 50
    before, after = model(token_ids), model(changed)
    torch.testing.assert_close(after[:, :cut], before[:, :cut], atol=1e-12, rtol=1e-12)
    assert not torch.allclose(after[:, cut:], before[:, cut:], atol=1e-3)


def test_every_weight_gets_a_gradient():
    model = make()
    functional.cross_entropy(model(some_ids(2, 12)), some_ids(2, 12, seed=2)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_it_refuses_a_prompt_longer_than_the_context():
    with pytest.raises(ValueError, match="longer than the context: 0 cached and 13 new tokens"):
        make()(some_ids(1, 13))


@pytest.mark.parametrize("token_id", [-1, 50])
def test_it_names_an_id_outside_the_vocabulary(token_id):
    with pytest.raises(IndexError, match=rf"in \[0, 50\), got {token_id}"):
        make()(torch.tensor([[3, token_id]]))


def test_a_model_in_bf16_is_near_the_one_in_fp32():
    narrow = make(dtype=torch.bfloat16)
    logits = narrow(some_ids(2, 12))
    assert logits.dtype == torch.bfloat16
    # bf16 has 8 significant bits; the logits are of size 1.
    torch.testing.assert_close(logits.float(), make()(some_ids(2, 12)), atol=6e-2, rtol=0)
    functional.cross_entropy(logits, some_ids(2, 12)).backward()
    assert narrow.lm_head.weight.grad.isfinite().all()


def test_training_under_autocast_is_near_training_without():
    def loss_and_grad(enabled):
        model = make()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = functional.cross_entropy(model(some_ids(2, 12)), some_ids(2, 12, seed=2))
        loss.backward()
        assert loss.dtype == torch.float32
        return loss.item(), model.layers[0].attn.q_proj.weight.grad

    (loss, grad), (exact_loss, exact_grad) = loss_and_grad(True), loss_and_grad(False)
    assert loss == pytest.approx(exact_loss, rel=1e-2)
    assert (grad - exact_grad).norm() < 5e-2 * exact_grad.norm()


def test_a_model_made_on_meta_comes_to_life_from_a_state_dict():
    ours = make()
    late = TransformerLM(CONFIG, device="meta")
    assert {parameter.device.type for parameter in late.parameters()} == {"meta"}
    assert late(some_ids(2, 12).to("meta")).shape == (2, 12, 50)
    late.to_empty(device="cpu").load_state_dict(ours.state_dict())
    assert torch.equal(late(some_ids(2, 12)), ours(some_ids(2, 12)))


@pytest.mark.parametrize("device", DEVICES)
def test_fp32_logits_are_those_of_fp64_on_every_device(device):
    exact = make(dtype=torch.float64)(some_ids(2, 12))
    logits = make(device=device)(some_ids(2, 12).to(device))
    torch.testing.assert_close(logits.cpu().double(), exact, atol=1e-5, rtol=1e-5)


COMPILED_LOSS = """
    import torch
    from nnparts import TransformerConfig, TransformerLM, functional

    ids = torch.randint(50, (2, 12))

    def loss(ids, **arguments):
        inputs, targets = ids[:, :-1], ids[:, 1:]
        hidden = model.hidden_states(inputs, **arguments)
        chunked = functional.chunked_cross_entropy(hidden, model.lm_head.weight, targets)
        return chunked + functional.cross_entropy(model(inputs, **arguments), targets)

    def grads(value):
        return torch.autograd.grad(value, list(model.parameters()))

    def check(**arguments):
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        value, expected = compiled(ids, **arguments), loss(ids, **arguments)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(grads(value), grads(expected))

    model = TransformerLM(TransformerConfig(50, 12, 16, 1, 2))
    check()
    model = TransformerLM(
        TransformerConfig(
            50, 12, 16, 1, 4, num_kv_heads=2, qk_norm=True, tied_embeddings=True, sliding_window=3
        )
    )
    model.checkpoint_blocks()
    check(document_ids=ids[:, :-1] // 25, attention_mask=ids[:, :-1] > 3)
"""
COMPILED_DECODING = """
    import torch
    from nnparts import KVCache, TransformerConfig, TransformerLM
    from torch._dynamo.utils import counters

    model = TransformerLM(TransformerConfig(50, 12, 16, 1, 4, num_kv_heads=2))
    ids, cache = torch.randint(50, (2, 12)), KVCache.for_model(model, 2)
    step = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        logits = [step(chunk, cache=cache) for chunk in ids.split([4] + [1] * 8, dim=1)]
        torch.testing.assert_close(torch.cat(logits, dim=1), model(ids), atol=1e-5, rtol=1e-5)
    # One for the prompt, one for a token at any length, one for the token that fills the cache.
    assert counters["stats"]["unique_graphs"] <= 3, counters
"""
COMPILED_BLOCKS = """
    import functools
    import torch
    from nnparts import KVCache, TransformerConfig, TransformerLM

    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    torch.compile = functools.partial(torch.compile, fullgraph=True, backend=backend)
    ids = torch.randint(50, (2, 12))

    def grads(model, **arguments):
        torch.manual_seed(0)
        value = model.hidden_states(ids, **arguments).square().sum()
        return torch.autograd.grad(value, [*model.layers.parameters()])

    for is_checkpointed in (False, True):
        for arguments in ({}, {"document_ids": ids // 25, "attention_mask": ids > 3}):
            model = TransformerLM(TransformerConfig(50, 12, 16, 5, 4, dropout=0.1))
            model.checkpoint_blocks(is_checkpointed)
            torch.compiler.reset()
            graphs.clear()
            for _ in range(2):
                ours = grads(model, compile_blocks=True, **arguments)
                torch.testing.assert_close(ours, grads(model, **arguments))
            assert len(graphs) == 1, len(graphs)  # five blocks, one function

    graphs.clear()
    with torch.no_grad():
        model.hidden_states(ids, cache=KVCache.for_model(model, 2), compile_blocks=True)
    assert not graphs
"""


# A step as `trainkit` compiles it, and as torch computes it line by line: their losses, and their
# gradients by the norm of what differs. In fp32 sums run in another order, and in bf16 (8 bits,
# 2^-9 a rounding) the compiler leaves out roundings between what it fuses.
INDUCTOR_STEP = """
    import sys
    import torch
    from nnparts import TransformerConfig, TransformerLM, functional

    is_narrow, bound = sys.argv[1] == "bf16", float(sys.argv[2])
    graphs = []

    def inductor(graph, inputs):
        graphs.append(graph.code)
        return torch._dynamo.lookup_backend("inductor")(graph, inputs)

    generator = torch.Generator().manual_seed(0)
    config = TransformerConfig(50, 24, 16, 1, 4, num_kv_heads=2, qk_norm=True, logit_soft_cap=30.0)
    model = TransformerLM(config, generator=generator)
    ids = torch.randint(50, (3, 24), generator=generator)

    def loss(ids):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_narrow):
            hidden = model.hidden_states(ids[:, :-1])
            return functional.chunked_cross_entropy(
                hidden, model.lm_head.weight, ids[:, 1:], chunk=40, soft_cap=30.0
            )

    weights = dict(model.named_parameters())
    compiled = torch.compile(loss, fullgraph=True, backend=inductor)
    ours, theirs = compiled(ids), loss(ids)
    assert abs(ours / theirs - 1) < bound, (ours, theirs)
    our_grads, their_grads = (torch.autograd.grad(x, weights.values()) for x in (ours, theirs))
    for name, our, their in zip(weights, our_grads, their_grads, strict=True):
        difference = (our - their).norm() / their.norm()
        assert our.dtype == their.dtype == torch.float32
        assert difference < bound, (name, difference)
    # Attention went by blocks, not by torch's kernel.
    [graph] = graphs
    assert "autograd_function_apply" in graph and "scaled_dot_product" not in graph, graph
"""
COMPILER = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")

# Of an input that is no leaf, as a block's, torch's compiler asks for the gradient, and keeps quiet
# what torch says to that, but under -W error.
ASKED_BY_DYNAMO = "The .grad attribute of a Tensor that is not a leaf"


def run_program(program, *arguments):
    # In a process of its own: there, no import hook checks types inside the graph.
    strict = [sys.executable, "-W", "error", "-W", f"ignore:{ASKED_BY_DYNAMO}"]
    command = [*strict, "-c", textwrap.dedent(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "program",
    [COMPILED_LOSS, COMPILED_DECODING, COMPILED_BLOCKS],
    ids=["loss", "decoding", "blocks"],
)
def test_it_compiles_without_a_graph_break(program):
    run_program(program)


@pytest.mark.skipif(not shutil.which(COMPILER), reason="torch's compiler needs a C++ compiler")
@pytest.mark.parametrize(("precision", "bound"), [("fp32", "1e-5"), ("bf16", "5e-2")])
def test_a_compiled_step_is_the_eager_one(precision, bound):
    run_program(INDUCTOR_STEP, precision, bound)


def test_half_precision_keeps_its_dtype():
    narrow = make(dtype=torch.float16)
    logits = narrow(some_ids(2, 12))
    assert logits.dtype == torch.float16
    # fp16 has 11 significant bits; the logits are of size 1.
    torch.testing.assert_close(logits.float(), make()(some_ids(2, 12)), atol=1e-2, rtol=0)


def test_hidden_states_are_what_the_head_reads():
    model = make()
    hidden = model.hidden_states(some_ids(2, 12))
    assert torch.equal(model.lm_head(hidden), model(some_ids(2, 12)))
