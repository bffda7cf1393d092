"""Gradient accumulation: equal to one big batch, however unequally full its parts (parity)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optimkit import accumulation_weights
from torch.nn.functional import cross_entropy

IGNORED = -100


def model_and_batch(lengths, seed):
    """`(batch, 6)` inputs and targets, of which row i predicts `lengths[i]` tokens."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(len(lengths), 6, 4, generator=generator, dtype=torch.float64)
    targets = torch.randint(5, (len(lengths), 6), generator=generator)
    for row, length in enumerate(lengths):
        targets[row, length:] = IGNORED
    weight = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    return weight, inputs, targets


def mean_loss(weight, inputs, targets):
    return cross_entropy((inputs @ weight.T).flatten(0, 1), targets.flatten())


@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=8).filter(any),
    micro_batch_size=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=50, deadline=None)
def test_micro_batches_of_ragged_rows_add_up_to_the_whole(lengths, micro_batch_size, seed):
    weight, inputs, targets = model_and_batch(lengths, seed)
    (whole,) = torch.autograd.grad(mean_loss(weight, inputs, targets), weight)

    parts = list(zip(inputs.split(micro_batch_size), targets.split(micro_batch_size), strict=True))
    counts = [int((part != IGNORED).sum()) for _, part in parts]
    for (some_inputs, some_targets), share in zip(parts, accumulation_weights(counts), strict=True):
        if share > 0:
            (share * mean_loss(weight, some_inputs, some_targets)).backward()
    torch.testing.assert_close(weight.grad, whole, rtol=1e-12, atol=1e-12)


def test_the_mean_of_means_would_be_something_else():
    weight, inputs, targets = model_and_batch([6, 1], seed=0)
    (whole,) = torch.autograd.grad(mean_loss(weight, inputs, targets), weight)
    halves = [mean_loss(weight, inputs[row : row + 1], targets[row : row + 1]) for row in (0, 1)]
    (mean_of_means,) = torch.autograd.grad(sum(halves) / 2, weight)
    assert not torch.allclose(mean_of_means, whole, rtol=0.1)


def test_full_micro_batches_weigh_alike():
    assert accumulation_weights([8, 8, 8, 8]) == [0.25] * 4


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([3, -1], r"token counts must not be negative, got token_counts=\[3, -1\]"),
        ([0, 0], r"a batch needs a token to learn from, got token_counts=\[0, 0\]"),
        ([], r"a batch needs a token to learn from, got token_counts=\[\]"),
    ],
)
def test_counts_that_make_no_sense_are_named(counts, message):
    with pytest.raises(ValueError, match=message):
        accumulation_weights(counts)
