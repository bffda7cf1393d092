"""Golden, by definition: a start from pairs against the pairs' own entropy."""

import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nnparts import TransformerLM
from trainkit import TokenDataset, start_from_bigrams
from trainkit.bigrams import PairCounts

VOCAB_SIZE = 17


@pytest.fixture
def dataset(write_tokens: Callable[..., Path]) -> TokenDataset:
    """A Markov chain: each token has three that may follow, one of them in half of all cases."""
    rng = np.random.default_rng(0)
    following = rng.integers(VOCAB_SIZE, size=(VOCAB_SIZE, 3))
    ids = [0]
    for choice in rng.choice(3, p=[0.5, 0.3, 0.2], size=5_000):
        ids.append(following[ids[-1], choice])
    return TokenDataset(write_tokens(np.array(ids, np.uint16)))


def conditional_entropy(ids: list[int]) -> float:
    """H(next | token) of the pairs in `ids`, nats: no bigram model has a lower loss on them."""
    pairs, firsts = Counter(pairwise(ids)), Counter(ids[:-1])
    total = sum(pairs.values())
    return -sum(n * math.log(n / firsts[pair[0]]) for pair, n in pairs.items()) / total


def test_fp16_is_computed_in_fp32_for_it_has_no_scale_here(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM]
) -> None:
    ours, theirs = make_model(), make_model()
    losses = [
        start_from_bigrams(model, dataset, updates=5, precision=precision)
        for model, precision in ((ours, "fp16"), (theirs, "fp32"))
    ]
    assert losses[0] == losses[1]
    for our, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(our, their)


@given(st.lists(st.integers(0, VOCAB_SIZE - 1), min_size=2))
def test_pair_counts_are_those_of_a_loop(ids: list[int]) -> None:
    expected = torch.zeros(VOCAB_SIZE, VOCAB_SIZE)
    for first, second in pairwise(ids):
        expected[first, second] += 1
    counts = PairCounts.of(np.array(ids, np.uint16), VOCAB_SIZE)
    assert torch.equal(counts.rows(0, VOCAB_SIZE), expected)
    assert torch.equal(counts.rows(5, 9), expected[5:9])


@pytest.mark.parametrize("changes", [{}, {"norm": "none"}])
def test_a_start_from_bigrams_is_almost_the_best_bigram_model(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM], changes: dict[str, Any]
) -> None:
    model = make_model(d_model=32, **changes)
    loss = start_from_bigrams(model, dataset, updates=200, lr=0.05)
    ids = dataset.windows(np.zeros(1, np.int64), len(dataset))[0].tolist()
    best = conditional_entropy(ids)
    # The probabilities of pairs that never occur would be 0, which no finite logit says.
    assert best <= loss < best + 0.02


def test_tied_embeddings_learn_what_a_symmetric_table_can(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM]
) -> None:
    model = make_model(d_model=32, tied_embeddings=True)
    loss = start_from_bigrams(model, dataset, updates=200, lr=0.05)
    ids = dataset.windows(np.zeros(1, np.int64), len(dataset))[0].tolist()
    frequencies = np.unique(ids, return_counts=True)[1] / len(ids)
    # One table for both sides scores (x, y) as it does (y, x), so far more than the pairs' own
    # entropy is left; but it must beat knowing frequencies alone.
    assert loss < -(frequencies * np.log(frequencies)).sum() - 0.5


def test_a_start_from_bigrams_looks_at_the_last_token_alone(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM]
) -> None:
    model = make_model()
    start_from_bigrams(model, dataset, updates=5)
    ids = torch.arange(8)[None]
    torch.testing.assert_close(model(ids), model.bigram_logits(ids))


def test_what_is_learned_does_not_depend_on_the_rows_at_once(
    dataset: TokenDataset,
    make_model: Callable[..., TransformerLM],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once, in_parts = make_model(), make_model()
    start_from_bigrams(at_once, dataset, updates=5)
    monkeypatch.setattr("trainkit.bigrams._ROWS", 4)
    start_from_bigrams(in_parts, dataset, updates=5)
    torch.testing.assert_close(at_once.state_dict(), in_parts.state_dict())


def test_blocks_learn_from_the_first_step_on(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM]
) -> None:
    model = make_model()
    start_from_bigrams(model, dataset, updates=5)
    assert all(parameter.grad is None for parameter in model.parameters())
    model(torch.arange(8)[None]).square().sum().backward()
    for block in model.layers:
        assert block.attn.output_proj.weight.grad.norm() > 0
        assert block.ffn.w2.weight.grad.norm() > 0


def test_fewer_than_no_updates_are_refused(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM]
) -> None:
    with pytest.raises(ValueError, match="updates must be at least 0, got -5"):
        start_from_bigrams(make_model(), dataset, updates=-5)


def test_blocks_that_normalize_cannot_be_silent(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM]
) -> None:
    with pytest.raises(ValueError, match="norm='post'"):
        start_from_bigrams(make_model(norm="post"), dataset)
