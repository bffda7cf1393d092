"""Filters and distributions. Parity: with the definition, token by token. Property: limits."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainkit import (
    Sampling,
    min_p_filter,
    next_token_probs,
    penalize_repetition,
    top_k_filter,
    top_p_filter,
)
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

LOGITS = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=12).map(torch.tensor)


@given(logits=LOGITS, top_k=st.integers(1, 15))
def test_top_k_keeps_what_is_among_the_k_greatest(logits, top_k):
    greatest = sorted(logits.tolist(), reverse=True)[:top_k]
    kept = top_k_filter(logits, top_k)
    for before, after in zip(logits.tolist(), kept.tolist(), strict=True):
        assert after == (before if before >= greatest[-1] else -math.inf)


@given(logits=LOGITS, top_p=st.floats(0.01, 1.0))
def test_top_p_keeps_the_fewest_likeliest_that_reach_it(logits, top_p):
    kept = top_p_filter(logits, top_p).isfinite()
    probs = logits.double().softmax(-1)
    inside, outside = probs[kept], probs[~kept]
    # 1e-6: the sums run in fp32, in which the nucleus may end one token sooner or later.
    assert inside.sum() >= top_p - 1e-6
    assert inside.sum() - inside.min() < top_p + 1e-6
    assert not len(outside) or outside.max() <= inside.min() + 1e-12


def test_of_equally_likely_tokens_the_smaller_id_is_in_the_nucleus():
    kept = top_p_filter(torch.zeros(4), 0.5).isfinite()
    assert kept.tolist() == [True, True, False, False]


@given(logits=LOGITS, min_p=st.floats(0.001, 1.0))
def test_min_p_keeps_what_is_so_much_as_likely_as_the_likeliest(logits, min_p):
    kept = min_p_filter(logits, min_p).isfinite()
    ratios = (logits.double() - logits.double().max()).exp()
    # 1e-5: the threshold is taken in fp32, of logits up to 20.
    assert (ratios[kept] >= min_p * (1 - 1e-5)).all()
    assert (ratios[~kept] < min_p * (1 + 1e-5)).all()
    assert kept[logits.argmax()]


def test_min_p_keeps_more_where_the_model_is_unsure():
    sure, unsure = torch.tensor([[0.9, 0.06, 0.04], [0.4, 0.3, 0.3]]).log()
    assert min_p_filter(sure, 0.1).isfinite().tolist() == [True, False, False]
    assert min_p_filter(unsure, 0.1).isfinite().all()


@given(logits=LOGITS, penalty=st.floats(0.25, 4.0), seen=st.integers(0, 2**12 - 1))
def test_a_penalty_makes_no_seen_token_likelier_and_moves_no_other(logits, penalty, seen):
    mask = torch.tensor([bool(seen >> i & 1) for i in range(len(logits))])
    ours = penalize_repetition(logits, mask, penalty)
    assert torch.equal(ours[~mask], logits[~mask])
    assert ((ours <= logits) if penalty >= 1 else (ours >= logits)).all()


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(0.7, repetition_penalty=1.3),
        Sampling(1.0, top_k=7, repetition_penalty=0.8),
        Sampling(0.8, top_p=0.9),
        Sampling(1.5, min_p=0.1),
        Sampling(1.2, 20, 0.9, 0.05, 1.2),
    ],
)
def test_the_distribution_is_that_of_transformers(sampling):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(200, 50, generator=generator)
    prompt = torch.randint(50, (200, 10), generator=generator)
    seen = torch.zeros(200, 50, dtype=torch.bool).scatter(1, prompt, True)
    theirs = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty),
            TemperatureLogitsWarper(sampling.temperature),
            TopKLogitsWarper(sampling.top_k or 50),
            TopPLogitsWarper(sampling.top_p or 1.0),
            MinPLogitsWarper(sampling.min_p or 0.0),
        ]
    )(prompt, logits).softmax(-1)
    ours = next_token_probs(logits, sampling, seen)
    # fp32; the rows are fixed, and in none of them does rounding decide about a cut.
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_filters_treat_rows_alone():
    logits = torch.randn(3, 5, 11, generator=torch.Generator().manual_seed(0))
    for row_filter, limit in ((top_k_filter, 3), (top_p_filter, 0.7), (min_p_filter, 0.2)):
        together = row_filter(logits, limit)
        alone = torch.stack([row_filter(row, limit) for row in logits.flatten(0, 1)])
        assert torch.equal(together.flatten(0, 1), alone)


@pytest.mark.parametrize("temperature", [1e-40, 1e-3, 0.7, 1.0, 1e30])
def test_temperature_divides_the_logits(temperature):
    logits = torch.tensor([1.0, 3.0, 2.0, -1e4])
    ours = next_token_probs(logits, Sampling(temperature))
    theirs = (logits.double() / temperature).softmax(-1)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-7)


def test_temperature_comes_before_the_nucleus():
    """At temperature 1 the likeliest holds 0.6 of it; at 4, 0.35 only, so two are needed."""
    logits = torch.tensor([0.6, 0.2, 0.1, 0.1]).log()
    assert (next_token_probs(logits, Sampling(1.0, top_p=0.5)) > 0).sum() == 1
    assert (next_token_probs(logits, Sampling(4.0, top_p=0.5)) > 0).sum() == 2


def test_at_temperature_zero_all_is_on_the_likeliest():
    probs = next_token_probs(torch.tensor([[1.0, 3.0, 3.0], [5.0, 1.0, 0.0]]), Sampling(0.0))
    assert probs.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -1.0}, "temperature must be at least 0"),
        ({"temperature": math.nan}, "temperature must be at least 0"),
        ({"temperature": math.inf}, "temperature must be at least 0 and finite"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\]"),
        ({"top_p": 1.1}, r"top_p must be in \(0, 1\]"),
        ({"min_p": 0.0}, r"min_p must be in \(0, 1\]"),
        ({"min_p": math.nan}, r"min_p must be in \(0, 1\]"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be positive and finite"),
        ({"repetition_penalty": math.inf}, "repetition_penalty must be positive and finite"),
    ],
)
def test_fields_out_of_range_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**fields)
