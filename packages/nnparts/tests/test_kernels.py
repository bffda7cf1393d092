"""Fast kernels against the definitions they stand for, forward and backward (parity)."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import TransformerConfig, TransformerLM, functional, kernels
from nnparts.blocked_attention import blocked_causal_attention

# Of numbers of size 1. fp32 and fp64: a few roundings of sums of ten numbers. fp16 and bf16: the
# definition rounds the scores and the probabilities to 11 and 8 significant bits, a fused kernel
# may keep them in fp32.
TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 1e-2,
    torch.bfloat16: 1e-1,
}


def assert_equal(ours, theirs, inputs, dtype):
    """Values and gradients, in units of the largest of each."""
    our_value, their_value = ours(), theirs()
    assert our_value.dtype == their_value.dtype == dtype
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(their_value.shape, generator=generator).to(dtype)
    pairs = [(our_value, their_value)]
    pairs += zip(
        torch.autograd.grad(our_value, inputs, weights),
        torch.autograd.grad(their_value, inputs, weights),
        strict=True,
    )
    for our, their in pairs:
        assert our.isfinite().all()
        size = max(1.0, their.abs().max().item() if their.numel() else 0.0)
        torch.testing.assert_close(our, their, atol=TOLERANCES[dtype] * size, rtol=0)


@st.composite
def attentions(draw, dtypes=tuple(TOLERANCES)):
    """Queries, keys, values, a mask whose rows may be hidden whole, and whether it's causal."""
    dtype = draw(st.sampled_from(dtypes))
    leading = draw(st.lists(st.integers(1, 2), max_size=2))
    num_kv_heads, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    queries = draw(st.integers(0, 5))
    keys = queries + draw(st.integers(0, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def tensor(heads, seq):
        x = torch.randn(*leading, heads, seq, 4, generator=generator, dtype=torch.float64)
        return x.to(dtype).requires_grad_()

    inputs = tensor(num_kv_heads * group, queries), tensor(num_kv_heads, keys)
    inputs += (tensor(num_kv_heads, keys),)
    mask = None
    if draw(st.booleans()):
        mask = torch.rand(*leading, queries, keys, generator=generator) < draw(st.floats(0, 1))
    return inputs, mask, draw(st.booleans())


@given(attentions())
@settings(max_examples=80, deadline=None)
def test_attention_is_its_definition(case):
    inputs, mask, is_causal = case
    assert_equal(
        lambda: kernels.FAST.grouped_query_attention(*inputs, mask, is_causal=is_causal),
        lambda: functional.grouped_query_attention(*inputs, mask, is_causal=is_causal),
        inputs,
        inputs[0].dtype,
    )


@st.composite
def squares(draw):
    """Queries, keys and values of the same positions."""
    dtype, seq = draw(st.sampled_from(tuple(TOLERANCES))), draw(st.integers(0, 13))
    leading = draw(st.lists(st.integers(1, 2), max_size=2))
    num_kv_heads, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def tensor(heads, width):
        x = torch.randn(*leading, heads, seq, width, generator=generator, dtype=torch.float64)
        return x.to(dtype).requires_grad_()

    return tensor(num_kv_heads * group, 4), tensor(num_kv_heads, 4), tensor(num_kv_heads, 3)


@given(squares())
@settings(max_examples=80, deadline=None)
def test_attention_by_blocks_is_its_definition(inputs):
    assert_equal(
        lambda: blocked_causal_attention(*inputs),
        lambda: functional.grouped_query_attention(*inputs, is_causal=True),
        inputs,
        inputs[0].dtype,
    )


@pytest.mark.parametrize("wide", ["query", "key", "value", "all"])
def test_attention_by_blocks_computes_in_what_autocast_says(wide):
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(2, 2, 9, 4, generator=generator)
        .to(torch.float32 if wide in (name, "all") else torch.bfloat16)
        .requires_grad_()
        for name in ("query", "key", "value")
    ]
    with torch.autocast("cpu", torch.bfloat16):
        ours = blocked_causal_attention(*inputs)
        theirs = functional.grouped_query_attention(*inputs, is_causal=True)
    assert_equal(lambda: ours, lambda: theirs, inputs, torch.bfloat16)


@pytest.mark.parametrize("seq", [1, 7, 512, 513])
def test_attention_as_it_is_compiled_is_its_definition(seq, monkeypatch):
    # Compiled for true by test_model.py, in a process without the import hook that checks types.
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, 2, seq, 4, generator=generator).requires_grad_() for _ in range(3)]
    assert_equal(
        lambda: kernels.FAST.grouped_query_attention(*inputs, is_causal=True),
        lambda: functional.grouped_query_attention(*inputs, is_causal=True),
        inputs,
        torch.float32,
    )


# Not fp16: the gradient of a probability sums products of 1e4, and fp16 ends at 65,504.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_attention_stays_finite_and_equal_at_far_values(dtype, size):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(1, 2, 6, 4, generator=generator).to(dtype).requires_grad_() for _ in range(3)
    )
    far = (size * value).detach().requires_grad_()
    inputs = query, key, far
    assert_equal(
        lambda: kernels.FAST.grouped_query_attention(*inputs, is_causal=True),
        lambda: functional.grouped_query_attention(*inputs, is_causal=True),
        inputs,
        dtype,
    )


@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_attention_chooses_among_far_scores(size):
    # Scores of size / 2 * (0, 1, 2): exp would overflow, and all but the largest round to zero.
    query = torch.full((1, 1, 1), size)
    key, value = torch.arange(3.0).view(1, 3, 1) / 2, torch.arange(3.0).view(1, 3, 1)
    for each in (kernels.FAST, kernels.REFERENCE):
        chosen = each.grouped_query_attention(query, key, value)
        assert chosen.item() == (2 if size > 0 else 0)


def test_a_hidden_row_gives_zeros_and_no_gradient_in_every_kernel():
    for each in (kernels.FAST, kernels.REFERENCE):
        x = torch.randn(2, 2, 3, 4, requires_grad=True)
        mask = torch.tensor([[False, False, False], [True, False, False], [True, True, False]])
        result = each.grouped_query_attention(x, x, x, mask)
        assert torch.equal(result[:, :, 0], torch.zeros(2, 2, 4))
        (gradient,) = torch.autograd.grad(result[:, :, 0].sum(), x)
        assert torch.equal(gradient, torch.zeros_like(x))


def test_no_keys_give_zeros_and_no_gradient_in_every_kernel():
    for each in (kernels.FAST, kernels.REFERENCE):
        query, key = torch.randn(2, 4, 3, 4, requires_grad=True), torch.randn(2, 2, 0, 4)
        result = each.grouped_query_attention(query, key, key)
        assert torch.equal(result, torch.zeros(2, 4, 3, 4))
        (gradient,) = torch.autograd.grad(result.sum(), query)
        assert torch.equal(gradient, torch.zeros_like(query))


CONFIGS = {
    "default": {},
    "grouped, windowed, qk-normed": {"num_kv_heads": 2, "sliding_window": 4, "qk_norm": True},
    "post-norm, learned, tied": {
        "norm": "post",
        "positions": "learned",
        "feed_forward": "gelu",
        "tied_embeddings": True,
    },
}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("choices", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("is_padded", [False, True])
def test_a_model_is_the_same_on_the_readable_path(choices, dtype, is_padded):
    config = TransformerConfig(50, 12, 16, 2, 4, d_ff=32, **choices)
    fast, reference = (
        TransformerLM(config, dtype=dtype, generator=torch.Generator().manual_seed(0), impl=impl)
        for impl in ("fast", "reference")
    )
    token_ids = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 12, dtype=torch.bool)
    mask[0, :5] = False
    arguments = {"attention_mask": mask} if is_padded else {}
    our_logits, their_logits = fast(token_ids, **arguments), reference(token_ids, **arguments)
    tolerance = 4 * TOLERANCES[dtype]  # two layers, and sums of 16 and 32 numbers
    torch.testing.assert_close(our_logits, their_logits, atol=tolerance, rtol=0)
    for model, logits in ((fast, our_logits), (reference, their_logits)):
        functional.cross_entropy(logits[mask], token_ids[mask]).backward()
        assert all(weight.grad.isfinite().all() for weight in model.parameters())
    for ours, theirs in zip(fast.parameters(), reference.parameters(), strict=True):
        difference, size = (ours.grad - theirs.grad).norm(), theirs.grad.norm()
        assert difference <= tolerance * size


@pytest.mark.parametrize("feed_forward", ["swiglu", "silu", "gelu", "relu2"])
@pytest.mark.parametrize("impl", ["fast", "reference"])
def test_a_model_hands_its_impl_to_every_module_that_computes(feed_forward, impl):
    config = TransformerConfig(5, 4, 8, 1, 2, qk_norm=True, feed_forward=feed_forward)
    model = TransformerLM(config, device="meta", impl=impl)
    chosen = {name: module.kernels for name, module in model.named_modules() if has_kernels(module)}
    assert set(chosen.values()) == {kernels.select_kernels(impl)}
    names = ("ln1", "attn", "attn.q_norm", "attn.k_norm", "ln2", "ffn")
    assert chosen.keys() == {"ln_final", *(f"layers.0.{name}" for name in names)}


def has_kernels(module):
    return hasattr(module, "kernels")


def test_it_names_the_impls_there_are():
    with pytest.raises(ValueError, match=r"one of \('fast', 'reference'\), got 'slow'"):
        # Unwrapped: the tests' own type checks would be first to complain.
        inspect.unwrap(kernels.select_kernels)("slow")
