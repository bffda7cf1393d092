"""The operations against torch's, forward and backward (parity), and at their edges (property)."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import functional
from torch.nn import functional as torch_functional

SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple)
SEEDS = st.integers(0, 2**31)
# Of numbers of size 1: some four units in the last place, and more where digits are plenty.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
DTYPES = st.sampled_from(list(TOLERANCE))
SCALES = st.sampled_from([1.0, 4.0, 1e4])


def draw(*shape, seed=0, dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(shape, generator=generator, dtype=torch.float64) * scale).to(dtype)
    return x.requires_grad_()


def assert_same_forward_and_backward(ours, theirs, *inputs, size=1.0, roundings=1):
    """Both give the same values, and the same gradients of a random projection of them.

    Theirs are computed in fp64 from the same numbers, so that what differs is what ours round. Each
    is compared on the scale of its greatest, or of `size`, where all that is greater cancels.
    """
    exact = [x.detach().double().requires_grad_() for x in inputs]
    our_value, their_value = ours(*inputs), theirs(*exact)
    dtype = inputs[0].dtype
    # All but a loss, a scalar, comes back in its input's dtype.
    wide = torch.promote_types(dtype, torch.float32)
    assert our_value.dtype == (dtype if their_value.ndim else wide)
    weights = draw(*their_value.shape, seed=1, dtype=our_value.dtype).detach()
    our_grads = torch.autograd.grad(our_value, inputs, weights)
    their_grads = torch.autograd.grad(their_value, exact, weights.double())
    tolerance = roundings * TOLERANCE[dtype]
    for our, their in [(our_value, their_value), *zip(our_grads, their_grads, strict=True)]:
        greatest = max(size, their.abs().max().item()) if their.numel() else size
        torch.testing.assert_close(our.double(), their, rtol=tolerance, atol=tolerance * greatest)


@given(SHAPES, SEEDS, DTYPES, st.data())
@settings(max_examples=40, deadline=None)
def test_softmax_is_torchs(shape, seed, dtype, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = draw(*shape, seed=seed, dtype=dtype, scale=10)
    assert_same_forward_and_backward(
        lambda x: functional.softmax(x, dim), lambda x: torch.softmax(x, dim), x
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_softmax_of_low_precision_is_rounded_once(dtype):
    x = draw(64, 500, dtype=dtype, scale=5).detach()
    assert torch.equal(functional.softmax(x, -1), functional.softmax(x.float(), -1).to(dtype))


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_softmax_does_not_overflow(offset):
    x = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(functional.softmax(x + offset, 0), torch.softmax(x, 0))


def test_softmax_of_nothing_is_nothing_and_of_minus_infinities_is_nan():
    assert functional.softmax(torch.empty(2, 0), -1).shape == (2, 0)
    assert functional.softmax(torch.full((3,), -math.inf), 0).isnan().all()


def test_softmax_refuses_integers():
    # Unwrapped: the tests' own dtype checks would be first to complain.
    with pytest.raises(ValueError, match=r"floating dtype is needed, got torch\.int64"):
        inspect.unwrap(functional.softmax)(torch.tensor([1, 2]), 0)


def test_softmax_has_second_derivatives():
    assert torch.autograd.gradgradcheck(lambda x: functional.softmax(x, -1), draw(2, 3))


@given(SHAPES, SEEDS, DTYPES, SCALES)
@settings(max_examples=40, deadline=None)
def test_silu_is_torchs(shape, seed, dtype, scale):
    x = draw(*shape, seed=seed, dtype=dtype, scale=scale)
    assert_same_forward_and_backward(functional.silu, torch_functional.silu, x)


@pytest.mark.parametrize("operation", [functional.silu, functional.gelu])
def test_far_from_zero_a_large_gradient_of_fp16_stays_finite(operation):
    x = torch.tensor([-3e4, 3e4], dtype=torch.float16, requires_grad=True)
    (gradient,) = torch.autograd.grad(operation(x), x, torch.full_like(x, 3.0))
    assert gradient.tolist() == [0.0, 3.0]


@given(SHAPES, SEEDS, DTYPES, SCALES)
@settings(max_examples=40, deadline=None)
def test_gelu_is_torchs_exact_one(shape, seed, dtype, scale):
    x = draw(*shape, seed=seed, dtype=dtype, scale=scale)
    assert_same_forward_and_backward(functional.gelu, torch_functional.gelu, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_gelu_rounds_once_where_1_and_erf_cancel(dtype):
    x = torch.cat([torch.linspace(-6, 6, 481), torch.tensor([-1e4, 1e4])]).to(dtype)
    x.requires_grad_()
    eps = torch.finfo(dtype).eps
    # Near -1 both their erf and ours are right to 2 x 2^-24: times 6, and half of it.
    close = {"rtol": eps, "atol": 12 * 2**-24}
    ours, theirs = functional.gelu(x), torch_functional.gelu(x)
    torch.testing.assert_close(ours, theirs, **close)
    exact = x.detach().double().requires_grad_()
    torch.testing.assert_close(ours.double(), torch_functional.gelu(exact), **close)
    (gradient,) = torch.autograd.grad(ours.sum(), x)
    (expected,) = torch.autograd.grad(torch_functional.gelu(exact).sum(), exact)
    torch.testing.assert_close(gradient.double(), expected, **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_gelu_has_its_digits_at_minus_3(dtype):
    # -3 Phi(-3), from a table of the normal distribution. In bf16 1 + erf(-3 / sqrt(2)) alone is 0
    # or 2^-8, which would make it 0 or -0.0059.
    ours = functional.gelu(torch.tensor(-3.0, dtype=dtype)).item()
    assert ours == pytest.approx(-0.0040496941, rel=max(1e-4, torch.finfo(dtype).eps / 2))


@pytest.mark.parametrize("operation", [functional.silu, functional.gelu])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_activations_are_the_identity_far_up_and_zero_far_down(operation, dtype):
    x = torch.tensor([-1e4, 0.0, 1e4], dtype=dtype, requires_grad=True)
    result = operation(x)
    assert torch.equal(result, torch.relu(x))
    (gradient,) = torch.autograd.grad(result.sum(), x)
    assert gradient.tolist() == [0.0, 0.5, 1.0]


def test_relu2_and_swiglu_are_their_formulas():
    x = draw(3, 5)
    assert torch.equal(functional.relu2(x), torch.where(x > 0, x * x, 0.0))
    assert torch.equal(functional.swiglu(x, x), x * functional.silu(x))
    assert torch.autograd.gradcheck(functional.relu2, x)
    assert torch.autograd.gradcheck(functional.swiglu, (x, draw(3, 5, seed=1)))


def test_soft_cap_is_near_the_identity_and_never_beyond_the_cap():
    x = torch.tensor([-1e4, -0.01, 0.0, 0.01, 1e4], dtype=torch.float64, requires_grad=True)
    assert functional.soft_cap(x, 30.0)[[0, -1]].tolist() == [-30.0, 30.0]
    torch.testing.assert_close(functional.soft_cap(x, 30.0)[1:4], x[1:4], atol=1e-8, rtol=0)
    assert torch.autograd.gradcheck(lambda x: functional.soft_cap(x, 2.0), draw(3, 5))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dropout_drops_a_share_and_keeps_the_mean(dtype):
    torch.manual_seed(0)
    x = torch.ones(100_000, dtype=dtype)
    kept = functional.dropout(x, 0.25)
    assert set(kept.unique().tolist()) == {0.0, (x[0] / 0.75).item()}
    # Five standard errors of a share.
    assert abs((kept == 0).float().mean() - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 100_000)
    assert functional.dropout(x, 0.0) is x


def test_what_is_dropped_gets_no_gradient():
    x = draw(1000)
    kept = functional.dropout(x, 0.5)
    (gradient,) = torch.autograd.grad(kept.sum(), x)
    assert torch.equal(gradient, torch.where(kept == 0, 0.0, 2.0))


def test_attention_drops_probabilities():
    torch.manual_seed(0)
    zeros = torch.zeros(1, 50, 8)
    # Each result is the sum of 50 probabilities of 1/50, doubled or dropped.
    sums = functional.scaled_dot_product_attention(zeros, zeros, zeros + 1, dropout_share=0.5)
    torch.testing.assert_close(sums * 25, (sums * 25).round())
    assert sums.std() > 0


@given(SHAPES, SEEDS, DTYPES, SCALES)
@settings(max_examples=40, deadline=None)
def test_rms_norm_is_torchs(shape, seed, dtype, scale):
    x = draw(*shape, seed=seed, dtype=dtype, scale=scale)
    weight = draw(shape[-1], seed=seed + 1, dtype=dtype)
    assert_same_forward_and_backward(
        lambda x, weight: functional.rms_norm(x, weight, 1e-3),
        lambda x, weight: torch_functional.rms_norm(x, shape[-1:], weight, 1e-3),
        x,
        weight,
        size=1 / scale,  # a gradient by x is of that size, and little of it is left at d_model = 1
    )


def test_rms_norm_of_low_precision_sums_in_fp32():
    # In fp16 the squares alone, 1e6, would be infinite.
    x = torch.full((2, 4096), 1000.0, dtype=torch.float16)
    result = functional.rms_norm(x, torch.ones(4096, dtype=torch.float16))
    assert result.dtype == torch.float16
    assert torch.equal(result, torch.ones_like(x))


@given(
    leading=st.lists(st.integers(0, 3), max_size=3),
    queries=st.integers(0, 5),
    keys=st.integers(1, 5),
    seed=SEEDS,
    dtype=DTYPES,
    scale=SCALES,
    masked=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_attention_is_torchs(leading, queries, keys, seed, dtype, scale, masked):
    if dtype == torch.float16:
        scale = 1.0  # it ends at 65,504, and a probability's gradient sums products of 1e4
    query = draw(*leading, queries, 4, seed=seed, dtype=dtype)
    key = draw(*leading, keys, 4, seed=seed + 1, dtype=dtype)
    # Not the scores: the rounding of those of 1e8 decides which key is chosen.
    value = draw(*leading, keys, 3, seed=seed + 2, dtype=dtype, scale=scale)
    mask = None
    if masked:
        mask = draw(*leading, queries, keys, seed=seed + 3) < 0
        mask[..., 0] = True  # a row that is all hidden has a test of its own
    assert_same_forward_and_backward(
        lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, mask),
        lambda q, k, v: torch_functional.scaled_dot_product_attention(q, k, v, mask),
        query,
        key,
        value,
        size=scale,  # of a probability's gradient, which cancels where there is one key
        roundings=4,  # of the queries, the scores, the probabilities, and the results
    )


@pytest.mark.parametrize("masked", [False, True])
def test_attention_to_no_keys_is_zeros_without_a_gradient(masked):
    query, key, value = draw(2, 3, 4), draw(2, 0, 4), draw(2, 0, 5)
    mask = torch.ones(3, 0, dtype=torch.bool) if masked else None
    result = functional.scaled_dot_product_attention(query, key, value, mask)
    assert torch.equal(result, torch.zeros(2, 3, 5, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(result.sum(), query)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@given(
    leading=st.lists(st.integers(1, 3), max_size=2),
    num_kv_heads=st.integers(1, 3),
    group=st.integers(1, 3),
    queries=st.integers(0, 4),
    more=st.integers(0, 3),
    is_causal=st.booleans(),
    seed=SEEDS,
)
@settings(max_examples=40, deadline=None)
def test_grouped_attention_is_attention_with_keys_repeated(
    leading, num_kv_heads, group, queries, more, is_causal, seed
):
    query = draw(*leading, num_kv_heads * group, queries, 4, seed=seed)
    key = draw(*leading, num_kv_heads, queries + more, 4, seed=seed + 1)
    value = draw(*leading, num_kv_heads, queries + more, 3, seed=seed + 2)
    mask = functional.causal_mask(queries, queries + more) if is_causal else None
    assert_same_forward_and_backward(
        lambda q, k, v: functional.grouped_query_attention(q, k, v, is_causal=is_causal),
        lambda q, k, v: functional.scaled_dot_product_attention(
            q, k.repeat_interleave(group, -3), v.repeat_interleave(group, -3), mask
        ),
        query,
        key,
        value,
    )


def test_attention_gradients_are_right():
    mask = functional.causal_mask(3, 3)
    assert torch.autograd.gradcheck(
        lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, mask),
        (draw(2, 3, 4, seed=1), draw(2, 3, 4, seed=2), draw(2, 3, 2, seed=3)),
    )


def test_a_query_that_may_look_nowhere_gives_zeros_and_no_gradient():
    mask = torch.tensor([[False, False], [True, False]])
    query, value = draw(2, 2), torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    seen = functional.scaled_dot_product_attention(query, query, value, mask)
    assert seen.tolist() == [[0.0], [1.0]]
    (gradient,) = torch.autograd.grad(seen.sum(), query)
    assert torch.equal(gradient, torch.zeros(2, 2, dtype=torch.float64))


def test_attention_leaves_its_arguments_alone():
    query, mask = torch.ones(2, 2), functional.causal_mask(2, 2)
    before = query.clone(), mask.clone()
    functional.scaled_dot_product_attention(query, query, query, mask)
    assert torch.equal(query, before[0])
    assert torch.equal(mask, before[1])


def test_causal_mask_lines_up_the_last_query_with_the_last_key():
    expected = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
    assert torch.equal(functional.causal_mask(2, 4), expected)


@given(
    leading=st.lists(st.integers(1, 3), max_size=3),
    vocab_size=st.integers(1, 6),
    seed=SEEDS,
    dtype=DTYPES,
    scale=SCALES,
)
@settings(max_examples=50, deadline=None)
def test_cross_entropy_is_torchs(leading, vocab_size, seed, dtype, scale):
    logits = draw(*leading, vocab_size, seed=seed, dtype=dtype, scale=scale)
    targets = torch.randint(vocab_size, leading, generator=torch.Generator().manual_seed(seed))
    assert_same_forward_and_backward(
        lambda logits: functional.cross_entropy(logits, targets),
        lambda logits: torch_functional.cross_entropy(
            logits.reshape(-1, vocab_size), targets.flatten()
        ),
        logits,
    )


@pytest.mark.parametrize("leading", [(0,), (2, 0)])
def test_cross_entropy_of_no_rows_is_nan(leading):
    logits, targets = draw(*leading, 3), torch.zeros(leading, dtype=torch.long)
    loss = functional.cross_entropy(logits, targets)
    assert loss.isnan()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.shape == logits.shape


def test_cross_entropy_gradient_is_right():
    targets = torch.tensor([[0, 2], [1, 1]])
    assert torch.autograd.gradcheck(
        lambda logits: functional.cross_entropy(logits, targets), draw(2, 2, 3)
    )


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_cross_entropy_keeps_its_digits_far_from_zero(offset):
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    targets = torch.tensor([2])
    theirs = torch_functional.cross_entropy(logits, targets)
    torch.testing.assert_close(functional.cross_entropy(logits + offset, targets), theirs)


def test_cross_entropy_of_an_improbable_target_is_finite():
    loss = functional.cross_entropy(torch.tensor([[1e4, 0.0]]), torch.tensor([1]))
    assert loss == 1e4


def test_cross_entropy_of_bf16_logits_is_an_fp32_loss():
    logits = draw(16, 300, dtype=torch.bfloat16)
    targets = torch.arange(16)
    loss = functional.cross_entropy(logits, targets)
    theirs = torch_functional.cross_entropy(logits.float(), targets)
    torch.testing.assert_close(loss, theirs)
    assert torch.autograd.grad(loss, logits)[0].dtype == torch.bfloat16


@pytest.mark.parametrize("target", [-1, 3, -100])
def test_cross_entropy_names_a_target_outside_the_vocabulary(target):
    with pytest.raises(IndexError, match=rf"targets must lie in \[0, 3\), got {target}"):
        functional.cross_entropy(torch.zeros(2, 3), torch.tensor([0, target]))


def test_cross_entropy_refuses_targets_of_another_shape():
    with pytest.raises(ValueError, match=r"targets must be shaped .* \(2, 5\), got \(10,\)"):
        functional.cross_entropy(torch.zeros(2, 5, 3), torch.zeros(10, dtype=torch.long))
