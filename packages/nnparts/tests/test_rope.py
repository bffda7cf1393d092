"""RoPE: against complex multiplication (parity), and what a rotation promises (property)."""

import copy
import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import RotaryPositionalEmbedding


def rotate_as_complex_numbers(x, positions, theta):
    d_k = x.shape[-1]
    frequencies = theta ** -(torch.arange(0, d_k, 2, dtype=torch.float64) / d_k)
    angles = positions.double().unsqueeze(-1) * frequencies
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


@given(
    leading=st.lists(st.integers(1, 3), max_size=3),
    seq=st.integers(0, 6),
    half=st.integers(1, 4),
    theta=st.sampled_from([2.0, 10_000.0, 500_000.0]),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_a_pair_is_a_complex_number_that_turns(leading, seq, half, theta, data):
    rope = RotaryPositionalEmbedding(theta, 2 * half, 100)
    shape = (*leading[data.draw(st.integers(0, len(leading))) :], seq)  # broadcasts to the rest
    positions = torch.randint(100, shape)
    x = torch.randn(*leading, seq, 2 * half)
    theirs = rotate_as_complex_numbers(x, positions, theta).float()
    torch.testing.assert_close(rope(x, positions), theirs, atol=1e-6, rtol=1e-5)


def test_positions_default_to_one_after_the_other():
    rope = RotaryPositionalEmbedding(10_000.0, 8, 20)
    x = torch.randn(2, 3, 5, 8)
    assert torch.equal(rope(x), rope(x, torch.arange(5)))
    assert torch.equal(rope(x, start=15), rope(x, torch.arange(15, 20)))


def test_dot_products_depend_on_the_distance_alone():
    rope = RotaryPositionalEmbedding(10_000.0, 16, 200)
    query, key = torch.randn(2, 1, 16, dtype=torch.float64)

    def score(query_position, key_position):
        rotated_query = rope(query, torch.tensor([query_position]))
        return rotated_query @ rope(key, torch.tensor([key_position])).T

    torch.testing.assert_close(score(7, 3), score(187, 183), atol=1e-6, rtol=1e-6)
    assert abs(score(7, 3) - score(7, 4)) > 1e-3


def test_angles_stay_exact_at_far_positions():
    rope = RotaryPositionalEmbedding(10_000.0, 4, 200_000)
    x, positions = torch.randn(1, 4), torch.tensor([199_999])
    theirs = rotate_as_complex_numbers(x, positions, 10_000.0).float()
    torch.testing.assert_close(rope(x, positions), theirs, atol=1e-6, rtol=1e-5)


def test_gradients_are_right():
    rope = RotaryPositionalEmbedding(10_000.0, 4, 3)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rope, x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_tables_stay_fp32_and_the_result_keeps_the_inputs_dtype(dtype):
    rope = RotaryPositionalEmbedding(10_000.0, 4, 300)
    before = rope.cos.clone()
    rope.to(dtype)
    assert torch.equal(rope.cos, before)
    assert rope.cos.dtype == torch.float32
    x = torch.randn(300, 4, dtype=dtype)
    assert torch.equal(rope(x), rope(x.to(torch.promote_types(dtype, torch.float32))).to(dtype))


@pytest.mark.parametrize(
    ("dtype", "tables"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64,) * 2],
)
def test_the_tables_are_as_wide_as_the_dtype_and_fp32_at_least(dtype, tables):
    rope = RotaryPositionalEmbedding(10_000.0, 4, 300, dtype=dtype)
    assert rope.cos.dtype == rope.sin.dtype == tables
    x = torch.randn(300, 4, dtype=torch.float64)
    theirs = rotate_as_complex_numbers(x, torch.arange(300), 10_000.0)
    tolerance = 1e-12 if tables == torch.float64 else 1e-6
    torch.testing.assert_close(rope(x), theirs, atol=tolerance, rtol=0)


def test_the_tables_come_back_from_meta():
    rope = RotaryPositionalEmbedding(10_000.0, 4, 10, device="meta")
    assert rope.cos.is_meta
    expected = RotaryPositionalEmbedding(10_000.0, 4, 10)
    rope.to_empty(device="cpu")
    assert torch.equal(rope.cos, expected.cos)
    assert torch.equal(rope.sin, expected.sin)


def test_it_has_no_state_and_can_be_copied():
    rope = RotaryPositionalEmbedding(10_000.0, 4, 10)
    assert rope.state_dict() == {}
    x = torch.randn(10, 4)
    assert torch.equal(copy.deepcopy(rope)(x), rope(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10_000.0, 3, 8), "d_k must be even, got d_k=3"),
        ((0.0, 4, 8), "theta=0.0"),
        ((float("nan"), 4, 8), "theta=nan"),
        ((10_000.0, 4, 0), "max_seq_len=0"),
        ((10_000.0, -2, 8), "d_k=-2"),
    ],
)
def test_it_refuses_what_cannot_rotate(arguments, message):
    with pytest.raises(ValueError, match=message):
        RotaryPositionalEmbedding(*arguments)


def test_it_refuses_what_does_not_fit_its_tables():
    rope = RotaryPositionalEmbedding(10_000.0, 4, 8)
    for seq, start in [(9, 0), (2, 7), (2, -1)]:
        with pytest.raises(ValueError, match=f"8 positions, got {seq} vectors from {start} on"):
            rope(torch.zeros(seq, 4), start=start)
    with pytest.raises(ValueError, match="rotates 4 numbers a head, got 2"):
        rope(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"each of 1 vectors its place, got shape \(3,\)"):
        # Unwrapped: the tests' own shape checks would be first to complain.
        inspect.unwrap(RotaryPositionalEmbedding.forward)(rope, torch.zeros(1, 4), torch.arange(3))
    for position in (-1, 8):
        with pytest.raises(IndexError, match=rf"in \[0, 8\), got {position}"):
            rope(torch.zeros(1, 4), torch.tensor([position]))
