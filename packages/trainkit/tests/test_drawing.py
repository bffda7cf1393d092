"""Drawing. Parity: with `next_token_probs`, looking at the likeliest alone or at all tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trainkit import Sampling, next_token_probs
from trainkit import drawing as module
from trainkit.drawing import draw

SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    top_k=st.none() | st.integers(1, 50),
    top_p=st.none() | st.floats(0.05, 1.0),
    min_p=st.none() | st.floats(0.01, 1.0),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
)
SEEN = torch.arange(40) % 3 == 0
LOGITS = st.lists(st.integers(-6, 6), min_size=40, max_size=40).map(
    lambda row: torch.tensor(row, dtype=torch.float32)
)


def every(logits, sampling, count=4001):
    """The ids drawn by evenly spaced numbers, and how often each comes."""
    uniforms = torch.arange(count, dtype=torch.float64) / count
    token_ids = draw(logits.expand(count, -1), sampling, uniforms, SEEN.expand(count, -1))
    return torch.bincount(token_ids, minlength=len(logits)).double() / count


@settings(deadline=None)  # the first call loads libraries
@given(logits=LOGITS, sampling=SAMPLINGS)
def test_each_token_comes_as_often_as_it_is_likely(logits, sampling):
    """Logits with ties: numbers spaced by 1/4001 meet an interval once too often at most."""
    ours, theirs = every(logits, sampling), next_token_probs(logits, sampling, SEEN).double()
    # 2e-6: probabilities and their sums run in fp32.
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1 / 4001 + 2e-6)
    assert ours[theirs == 0].sum() == 0


@settings(deadline=None)  # the first call loads libraries
@given(logits=LOGITS, sampling=SAMPLINGS, u=st.floats(0, 1, exclude_max=True))
def test_looking_at_the_likeliest_first_changes_nothing(logits, sampling, u):
    uniforms = torch.tensor([u], dtype=torch.float64)
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        for candidates in ((3,), (2, 10), (1000,)):
            patch.setattr(module, "_CANDIDATES", candidates)
            drawn.append(int(draw(logits[None], sampling, uniforms, SEEN[None])))
    assert drawn[0] == drawn[1] == drawn[2]


@pytest.mark.parametrize("u", [0.0, 1 - 2**-53])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=2), Sampling(top_p=0.9)])
def test_the_ends_of_the_unit_interval_draw_possible_tokens(u, sampling):
    logits = torch.tensor([[float("-inf"), 0.0, 1.0, 0.5, float("-inf")]])
    token_id = draw(logits, sampling, torch.tensor([u], dtype=torch.float64))
    assert next_token_probs(logits, sampling)[0, token_id] > 0


def test_a_row_draws_alone():
    """One row's nucleus needs all tokens, the other's two: neither moves the other."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.stack([torch.zeros(2000), 20 * torch.randn(2000, generator=generator)])
    uniforms = torch.tensor([0.7, 0.3], dtype=torch.float64)
    together = draw(logits, Sampling(top_p=0.9), uniforms)
    alone = [draw(logits[[i]], Sampling(top_p=0.9), uniforms[[i]]) for i in (0, 1)]
    assert torch.equal(together, torch.cat(alone))


def test_at_temperature_zero_the_first_of_the_likeliest_is_taken():
    logits = torch.tensor([[1.0, 3.0, 3.0], [5.0, 1.0, 0.0]])
    assert draw(logits, Sampling(0.0), torch.zeros(2, dtype=torch.float64)).tolist() == [1, 0]
