"""Clipping by norm and by value: against torch's (parity), and what it promises (property)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optimkit import clip_grad_norm_, clip_grad_value_, gradient_norms, gradient_row_norms

SIZES = st.lists(st.integers(0, 20), min_size=1, max_size=5)
LIMITS = st.floats(1e-3, 1e3)


def parameters(sizes, seed=0, scale=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.nn.Parameter(torch.zeros(size, dtype=dtype)) for size in sizes]
    for parameter in drawn:
        noise = torch.randn(parameter.shape, generator=generator) * scale
        parameter.grad = noise.to(dtype)
    return drawn


def grads_of(parameters):
    return torch.cat([parameter.grad.flatten() for parameter in parameters])


@given(SIZES, LIMITS, st.floats(1e-3, 1e3), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_clipping_is_torchs(sizes, max_norm, scale, seed):
    ours, theirs = (parameters(sizes, seed, scale) for _ in range(2))
    our_norm = clip_grad_norm_(ours, max_norm)
    their_norm = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    torch.testing.assert_close(our_norm, their_norm)
    torch.testing.assert_close(grads_of(ours), grads_of(theirs))


@given(SIZES, LIMITS, st.floats(1e-3, 1e3), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_the_norm_is_within_the_limit_and_clipping_twice_is_clipping_once(
    sizes, max_norm, scale, seed
):
    clipped = parameters(sizes, seed, scale)
    norm_before = clip_grad_norm_(clipped, max_norm)
    once = grads_of(clipped).clone()
    assert once.double().norm() <= max_norm * (1 + 1e-6)  # fp32 rounding
    if norm_before <= max_norm - 1e-3:
        assert torch.equal(once, grads_of(parameters(sizes, seed, scale)))
    clip_grad_norm_(clipped, max_norm)
    # eps alone shrinks them again: by eps / norm, which is at most 1e-6 / 1e-3.
    torch.testing.assert_close(grads_of(clipped), once, rtol=1.1e-6 / max_norm + 1e-6, atol=0)


def test_the_direction_stays_and_the_norm_before_is_returned():
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, 4.0])
    assert clip_grad_norm_(weight, 1.0) == 5.0
    torch.testing.assert_close(weight.grad, torch.tensor([0.6, 0.8]))


def test_frozen_parameters_are_skipped_and_an_iterator_will_do():
    moving, frozen = parameters([4]), torch.nn.Parameter(torch.zeros(4))
    expected = grads_of(moving).norm()
    norm = clip_grad_norm_(iter([frozen, *moving]), 1e-2)
    torch.testing.assert_close(norm, expected)
    assert frozen.grad is None


def test_without_any_gradient_the_norm_is_zero():
    assert clip_grad_norm_([], 1.0) == 0
    assert clip_grad_norm_([torch.nn.Parameter(torch.zeros(3))], 1.0) == 0


def test_zero_gradients_stay_zero():
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.zeros(3)
    for limit in (0.0, 1.0):
        assert clip_grad_norm_([weight], limit) == 0
        assert torch.equal(weight.grad, torch.zeros(3))


def test_an_infinite_limit_only_measures():
    clipped = parameters([5, 6], scale=1e3)
    before = grads_of(clipped).clone()
    torch.testing.assert_close(clip_grad_norm_(clipped, math.inf), before.norm())
    assert torch.equal(grads_of(clipped), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_gradients_are_summed_in_fp32(dtype):
    # The norm, 2e5, is beyond fp16; so are the squares.
    clipped = parameters([40_000, 1], scale=1e3, dtype=dtype)
    expected = grads_of(clipped).float().norm()
    norm = clip_grad_norm_(clipped, 10.0)
    torch.testing.assert_close(norm, expected)
    assert grads_of(clipped).dtype == dtype
    assert grads_of(clipped).float().norm().item() == pytest.approx(10, rel=1e-2)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_gradient_that_is_not_finite_shows_in_the_norm(bad):
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([bad, 1.0])
    assert not clip_grad_norm_([weight], 1.0).isfinite()


@pytest.mark.parametrize(
    ("max_norm", "eps", "message"),
    [
        (-1.0, 1e-6, "max_norm must not be negative, got max_norm=-1.0"),
        (math.nan, 1e-6, "max_norm must not be negative, got max_norm=nan"),
        (1.0, 0.0, "eps must be positive, got eps=0.0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(max_norm, eps, message):
    with pytest.raises(ValueError, match=message):
        clip_grad_norm_(parameters([3]), max_norm, eps=eps)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1, 1, 1), (2, 3, 4)])
def test_every_shape_has_its_norm(shape):
    weight = torch.nn.Parameter(torch.zeros(shape))
    weight.grad = torch.full(shape, 2.0)
    torch.testing.assert_close(clip_grad_norm_(weight, 1.0), torch.full(shape, 2.0).norm())


def test_the_norm_of_millions_of_elements_is_right_to_fp32():
    # torch sums all squares of a tensor in a few fp32 numbers, and is wrong by 5e-5 here.
    weight = torch.nn.Parameter(torch.empty(4000, 1000))
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    exact = weight.grad.double().norm().item()
    assert clip_grad_norm_(weight, math.inf).item() == pytest.approx(exact, rel=1e-6)


def test_transposed_gradients_are_scaled_in_place():
    weight = torch.nn.Parameter(torch.zeros(3, 5))
    weight.grad = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).T
    clip_grad_norm_(weight, 0.5)
    assert weight.grad.norm().item() == pytest.approx(0.5, rel=1e-5)


def test_each_group_has_a_limit_of_its_own():
    first, second = parameters([4, 5], scale=100.0)
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=1.0)
    for group, max_norm in zip(optimizer.param_groups, (1.0, 3.0), strict=True):
        clip_grad_norm_(group["params"], max_norm)
    norms = [first.grad.norm().item(), second.grad.norm().item()]
    assert norms == pytest.approx([1.0, 3.0], rel=1e-5)


SHAPES = [(), (3,), (0,), (0, 3), (3, 0), (4, 5), (2, 3, 4)]


def shaped(dtype=torch.float32):
    """One parameter of each shape with a gradient, and two without."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in SHAPES]
    for parameter in drawn:
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(dtype)
    frozen = [torch.nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in ((6, 2), (3,))]
    return [frozen[0], *drawn, frozen[1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_each_gradients_norm_is_found_in_those_of_the_rows(dtype):
    wide = torch.promote_types(dtype, torch.float32)
    weights = shaped(dtype)
    rows = gradient_row_norms(iter(weights))
    assert rows.dtype == wide
    theirs = [torch.zeros(()) if p.grad is None else p.grad.to(wide).norm() for p in weights]
    clip_grad_norm_(weights, 1e-3)
    for our, their in zip(gradient_norms(iter(weights), rows), theirs, strict=True):
        torch.testing.assert_close(our, their.to(wide))


def test_one_gradient_that_is_not_finite_leaves_the_norms_of_the_others():
    weights = parameters([3, 4, 5])
    expected = [weight.grad.norm().item() for weight in weights]
    weights[1].grad[2] = math.inf
    rows = gradient_row_norms(weights)
    assert clip_grad_norm_(weights, 1.0, row_norms=rows) == math.inf
    norms = [norm.item() for norm in gradient_norms(weights, rows)]
    assert norms == [pytest.approx(expected[0]), math.inf, pytest.approx(expected[2])]


def test_clipping_by_norms_that_are_known_is_the_same_bit_for_bit():
    ours, theirs = parameters([300, 7, 20], scale=9.0), parameters([300, 7, 20], scale=9.0)
    our_norm = clip_grad_norm_(iter(ours), 1.0, row_norms=gradient_row_norms(ours))
    assert torch.equal(our_norm, clip_grad_norm_(theirs, 1.0))
    assert torch.equal(grads_of(ours), grads_of(theirs))
    assert gradient_row_norms([]).shape == (0,)


@given(SIZES, LIMITS, st.floats(1e-3, 1e3), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_clipping_by_value_is_torchs_and_once_is_enough(sizes, max_value, scale, seed):
    ours, theirs = (parameters(sizes, seed, scale) for _ in range(2))
    clip_grad_value_(iter(ours), max_value)
    torch.nn.utils.clip_grad_value_(theirs, max_value)
    assert torch.equal(grads_of(ours), grads_of(theirs))
    clip_grad_value_(ours, max_value)
    assert torch.equal(grads_of(ours), grads_of(theirs))


def test_by_value_an_infinity_becomes_the_limit_and_what_has_no_gradient_is_skipped():
    weight, frozen = (torch.nn.Parameter(torch.zeros(3)) for _ in range(2))
    weight.grad = torch.tensor([math.inf, -math.inf, 0.5])
    clip_grad_value_([weight, frozen], 1.0)
    assert weight.grad.tolist() == [1.0, -1.0, 0.5]
    assert frozen.grad is None


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_a_limit_by_value_that_makes_no_sense_is_refused(bad):
    with pytest.raises(ValueError, match=f"max_value must not be negative, got max_value={bad}"):
        clip_grad_value_(parameters([3]), bad)
