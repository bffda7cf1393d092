"""Rows of a batch that begin or end apart. Property: each comes out as it would alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import TransformerConfig, TransformerLM
from torch import nn
from trainkit import Sampling, Stopping, generate, generate_stream

TOKEN_IDS = st.integers(0, 5)
PROMPTS = st.lists(st.lists(TOKEN_IDS, min_size=1, max_size=4), min_size=2, max_size=3)


class Successor(nn.Module):
    """Counts: after i comes i + 1, after the last one 0."""

    def __init__(self, vocab_size):
        super().__init__()
        self.table = nn.Parameter(torch.eye(vocab_size).roll(1, dims=1))
        self.config = TransformerConfig(vocab_size, 8, d_model=2, num_layers=1, num_heads=1)

    def forward(self, token_ids, **_):
        return self.table[token_ids]


@pytest.fixture(scope="module")
def models():
    """In fp64: padding and the width of a batch change rounding, and so would draws at an edge."""
    choices = [
        {},
        {"positions": "learned", "num_kv_heads": 1},
        {"positions": "none", "sliding_window": 3},
    ]
    shape = {"vocab_size": 6, "context_length": 4, "d_model": 8, "num_layers": 2, "num_heads": 2}
    return [
        TransformerLM(
            TransformerConfig(**shape, d_ff=16, **choice),
            generator=torch.Generator().manual_seed(0),
        ).double()
        for choice in choices
    ]


def count_from(*starts, steps, **options):
    return generate(
        Successor(8), [[start] for start in starts], steps, 0.0, use_cache=False, **options
    ).tolist()


@settings(deadline=None, max_examples=6)  # the first call loads libraries
@given(
    prompts=PROMPTS,
    which=st.integers(0, 2),
    sampling=st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 1.0]),
        top_p=st.sampled_from([None, 0.8]),
        repetition_penalty=st.sampled_from([1.0, 1.5]),
    ),
    stop_tokens=st.sets(TOKEN_IDS, max_size=1).map(tuple),
    stop_sequences=st.lists(st.lists(TOKEN_IDS, min_size=2, max_size=2), max_size=2),
    use_cache=st.booleans(),
)
def test_a_row_comes_out_as_it_would_alone(
    models, prompts, which, sampling, stop_tokens, stop_sequences, use_cache
):
    """10 tokens in a context of 4, from prompts of 1 to 4: the rows slide at different steps."""
    stopping = Stopping(stop_tokens, stop_sequences)

    def write(prompts, seeds):
        steps = list(
            generate_stream(
                models[which],
                prompts,
                10,
                sampling,
                stopping=stopping,
                seed=seeds,
                use_cache=use_cache,
            )
        )
        ids, log_probs, is_new = (
            torch.stack([getattr(step, name) for step in steps], dim=1)
            for name in ("token_ids", "log_probs", "is_new")
        )
        return [(ids[r, is_new[r]], log_probs[r, is_new[r]]) for r in range(len(prompts))]

    together = write(prompts, range(len(prompts)))
    for row, prompt in enumerate(prompts):
        [alone] = write([prompt], [row])
        assert torch.equal(together[row][0], alone[0])
        torch.testing.assert_close(together[row][1], alone[1], rtol=0, atol=1e-5)  # in fp32


def test_shorter_prompts_are_filled_up_on_the_left(make_model):
    model = make_model()
    together = generate(model, [[1], [4, 5, 6]], 5, 0.0, pad_token=16)
    assert together[0, :2].tolist() == [16, 16]
    assert torch.equal(together[0, 2:], generate(model, [1], 5, 0.0))
    assert torch.equal(together[1], generate(model, [4, 5, 6], 5, 0.0))


def test_a_penalty_doesnt_hold_padding_against_a_row():
    """Filled up with 3, which comes next: it would be skipped if it had been there before."""
    ids = generate(
        Successor(8),
        [[2], [6, 7, 0]],
        1,
        0.0,
        repetition_penalty=1e9,
        pad_token=3,
        use_cache=False,
    )
    assert ids.tolist() == [[3, 3, 2, 3], [6, 7, 0, 1]]


def test_a_stop_token_ends_a_row_and_fills_it_up():
    assert count_from(3, 0, steps=3, stop_token=4) == [[3, 4, 4, 4], [0, 1, 2, 3]]
    assert count_from(3, steps=3, stop_token=4) == [[3, 4]]
    assert count_from(4, steps=3, stop_token=4) == [[4, 5, 6, 7]]  # not by the prompt


def test_each_of_several_stop_tokens_ends_a_row():
    assert count_from(0, 2, 3, steps=5, stop_token=[1, 5]) == [
        [0, 1, 1, 1],
        [2, 3, 4, 5],
        [3, 4, 5, 1],
    ]


def test_a_stop_sequence_ends_a_row_once_it_is_whole():
    stops = {"stop_sequences": [[2, 3], [6, 7, 0]], "pad_token": 7}
    assert count_from(0, 4, steps=9, **stops) == [[0, 1, 2, 3, 7], [4, 5, 6, 7, 0]]
    # It must be written whole: a 2 in the prompt is no beginning.
    assert count_from(2, steps=6, **stops) == [[2, 3, 4, 5, 6, 7, 0]]


def test_a_stop_sequence_that_overlaps_itself_is_found():
    """After 0 0 comes 0 again, so that the first of them is no part of 0 0 1."""
    model = Successor(3)
    with torch.no_grad():
        model.table.copy_(torch.tensor([[1.0, 0.9, 0.0], [1.0, 0.0, 0.9], [0.0, 0.0, 1.0]]))
    stopping = Stopping(sequences=[[0, 0, 1]])
    for seed in range(20):
        steps = generate_stream(model, [2], 60, stopping=stopping, seed=seed, use_cache=False)
        ids = "".join(str(int(step.token_ids)) for step in steps)
        assert ids.find("001") in (len(ids) - 3, -1)
