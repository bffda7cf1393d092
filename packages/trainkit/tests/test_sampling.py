"""Filters and distributions. Parity: with the definition, token by token. Property: limits."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainkit import Sampling, next_token_probs, top_k_filter, top_p_filter

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


def test_filters_treat_rows_alone():
    logits = torch.randn(3, 5, 11, generator=torch.Generator().manual_seed(0))
    for row_filter, limit in ((top_k_filter, 3), (top_p_filter, 0.7)):
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
    ],
)
def test_fields_out_of_range_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**fields)
