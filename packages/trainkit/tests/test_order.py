"""Data order. Property: a permutation, a pure function, the same for any ranks and workers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainkit import Mixture, Prefetcher, TokenDataset, get_batch, permute
from trainkit.mixture import BLOCK


@given(count=st.integers(1, 3000), seed=st.integers(0, 2**63))
def test_permute_is_a_bijection(count, seed):
    assert np.array_equal(np.sort(permute(np.arange(count), count, [seed])), np.arange(count))


@given(exponent=st.integers(1, 62), offset=st.integers(-1, 1), seed=st.integers(0, 2**63))
def test_permute_stays_in_range_at_any_size(exponent, offset, seed):
    count = max(1, 2**exponent + offset)
    ends = np.unique(np.array([0, count // 2, count - 1]))
    images = permute(ends, count, [seed])
    assert 0 <= images.min() <= images.max() < count
    assert len(np.unique(images)) == len(ends)


def test_permute_spreads_evenly():
    """Where index 0 goes, over 2,000 seeds in 20 places: chi-square with 19 degrees of freedom.

    Its 99.99 % point is 50; the seeds are fixed.
    """
    places = [int(permute(np.array([0]), 20, [seed])[0]) for seed in range(2_000)]
    expected = 2_000 / 20
    assert ((np.bincount(places, minlength=20) - expected) ** 2 / expected).sum() < 50


def test_neighbours_part():
    """The mean distance of neighbours' images is a third of the range, as for any shuffle."""
    images = permute(np.arange(100_000), 100_000, [0])
    assert np.abs(np.diff(images)).mean() == pytest.approx(100_000 / 3, rel=0.02)


@pytest.fixture
def numbers(write_tokens):
    """A dataset whose token at `i` is `i`."""

    def make(count, name="data.npy", **options):
        return TokenDataset(write_tokens(np.arange(count, dtype=np.uint16), name), **options)

    return make


def test_random_order_is_get_batch(numbers):
    data = numbers(1000)
    generator = np.random.default_rng([3, 5])
    inputs, targets = get_batch(data.tokens, 4, 8, "cpu", generator=generator)
    batch = data.batch(3, 5, 4, 8, "cpu")
    assert torch.equal(batch.inputs, inputs)
    assert torch.equal(batch.targets, targets)
    assert (batch.document_ids, batch.mask) == (None, None)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 20])
def test_an_epoch_shows_every_window_once(numbers, batch_size):
    data = numbers(8 * 10 + 5, order="epoch")  # 10 windows, and 4 tokens that fill none
    steps = 10 * 3 // batch_size + 1
    starts = [data.batch(0, step, batch_size, 8, "cpu").inputs[:, 0] for step in range(steps)]
    epochs = torch.cat(starts)[:30].view(3, 10)
    assert [sorted(epoch) for epoch in epochs.tolist()] == [list(range(0, 80, 8))] * 3
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3


def test_another_seed_is_another_epoch(numbers):
    data = numbers(1000, order="epoch")
    first, second = (data.batch(seed, 0, 50, 8, "cpu").inputs for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("order", ["random", "epoch"])
@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_ranks_share_the_global_batch(numbers, order, world_size):
    parts = [numbers(500, "a.npy", order=order), numbers(300, "b.npy", order=order)]
    for data in (parts[0], Mixture([(parts[0], 2.0), (parts[1], 1.0)])):
        for step in (0, 9):
            shares = [
                data.batch(1, step, 6, 8, "cpu", rank=rank, world_size=world_size).inputs
                for rank in range(world_size)
            ]
            assert torch.equal(torch.cat(shares), data.batch(1, step, 6, 8, "cpu").inputs)


@pytest.mark.parametrize("ranks", [(0, 4), (2, 2), (-1, 2), (0, 0)])
def test_ranks_that_do_not_fit_are_refused(numbers, ranks):
    with pytest.raises(ValueError, match="divisible by world_size"):
        numbers(100).batch(0, 0, 6, 8, "cpu", rank=ranks[0], world_size=ranks[1])


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 1.0), (0.7, 0.2, 0.1), (1.0, 1.0, 1.0)])
def test_a_mixture_keeps_its_proportions(numbers, weights):
    data = Mixture([(numbers(100, f"{index}.npy"), weight) for index, weight in enumerate(weights)])
    shares = np.array(weights) / sum(weights)
    for first in (0, BLOCK, 5 * BLOCK):
        parts, _ = data.assign(0, first, BLOCK)
        counts = np.bincount(parts, minlength=len(weights))
        assert np.abs(counts - BLOCK * shares).max() < 1
        # Shuffled within: any 1,024 are a draw without replacement, whose deviation is below 16.
        part = np.bincount(parts[:1024], minlength=len(weights))
        assert np.abs(part - 1024 * shares).max() < 5 * 16


def test_each_part_of_a_mixture_goes_through_its_own_epochs(numbers):
    """Each sequence's place is how many of its dataset came before, across batches and blocks."""
    data = Mixture([(numbers(100, "a.npy"), 5.0), (numbers(100, "b.npy"), 3.0)])
    parts, places = data.assign(0, 0, 3 * BLOCK)
    for index in range(2):
        of_part = places[parts == index]
        assert np.array_equal(of_part, np.arange(len(of_part)))
    for first, count in ((0, 5), (BLOCK - 3, 7), (2 * BLOCK + 1, 9)):
        again = data.assign(0, first, count)
        assert np.array_equal(again[0], parts[first : first + count])
        assert np.array_equal(again[1], places[first : first + count])


def test_a_mixture_of_epochs_shows_every_window_once(numbers):
    parts = [numbers(8 * 12 + 1, "a.npy", order="epoch"), numbers(8 * 3 + 1, "b.npy")]
    data = Mixture([(parts[0], 3.0), (parts[1], 1.0)])
    chosen, _ = data.assign(7, 0, 64)
    inputs = torch.cat([data.batch(7, step, 8, 8, "cpu").inputs for step in range(8)])
    first_epoch = inputs[torch.from_numpy(chosen == 0)][:12, 0]
    assert sorted(first_epoch.tolist()) == list(range(0, 96, 8))


@pytest.mark.parametrize("weights", [[], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_weights_that_make_no_mixture_are_refused(numbers, weights):
    with pytest.raises(ValueError, match="positive, finite weights"):
        Mixture([(numbers(100), weight) for weight in weights])


def test_a_mixture_refuses_parts_that_do_not_go_together(numbers, write_tokens):
    other = TokenDataset(write_tokens(np.zeros(50, np.uint16), "b.npy", tokenizer_hash="def"))
    with pytest.raises(ValueError, match=r"one tokenizer, got those of \['abc', 'def'\]"):
        Mixture([(numbers(100), 1.0), (other, 1.0)])
    with pytest.raises(ValueError, match="one separator_id"):
        Mixture([(numbers(100), 1.0), (numbers(100, "c.npy", separator_id=0), 1.0)])
    with pytest.raises(ValueError, match="would never be drawn"):
        Mixture([(numbers(100), 1e9), (numbers(100), 1.0)])


def test_documents_begin_with_their_separator(write_tokens):
    tokens = np.array([5, 6, 0, 7, 8, 9, 0, 0, 4, 3, 2], np.uint16)
    data = TokenDataset(write_tokens(tokens), separator_id=0, order="epoch")
    batch = data.batch(0, 0, 1, 10, "cpu")
    assert batch.inputs.tolist() == [[5, 6, 0, 7, 8, 9, 0, 0, 4, 3]]
    assert batch.document_ids is not None
    assert batch.document_ids.tolist() == [[0, 0, 1, 1, 1, 1, 2, 3, 3, 3]]
    assert batch.mask is None


@pytest.mark.parametrize("num_workers", [0, 1, 4])
def test_batches_made_ahead_are_the_same(numbers, num_workers):
    data = numbers(1000)
    with Prefetcher(
        lambda step: data.batch(0, step, 4, 8, "cpu"), start=3, stop=20, num_workers=num_workers
    ) as batches:
        made = [batch.inputs for batch in batches]
        assert batches.wait_seconds > 0
    assert len(made) == 17
    for step, inputs in enumerate(made, start=3):
        assert torch.equal(inputs, data.batch(0, step, 4, 8, "cpu").inputs)


@pytest.mark.parametrize("num_workers", [0, 1, 4])
def test_an_error_comes_at_the_step_that_made_it(numbers, num_workers):
    data = numbers(1000)

    def make(step):
        if step == 5:
            raise OSError("the disk went away")
        return data.batch(0, step, 4, 8, "cpu")

    with Prefetcher(make, start=0, stop=9, num_workers=num_workers) as batches:
        for _ in range(5):
            next(batches)
        with pytest.raises(OSError, match="the disk went away"):
            next(batches)


def test_a_negative_number_of_workers_is_refused():
    with pytest.raises(ValueError, match="num_workers must be at least 0, got -1"):
        Prefetcher(lambda step: pytest.fail(str(step)), start=0, stop=1, num_workers=-1)
