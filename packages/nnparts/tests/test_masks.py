"""Masks and positions against loops over pairs (parity)."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import masks

LENGTHS = st.integers(0, 8)


def by_pairs(queries, keys, looks):
    rows = [[looks(i, j) for j in range(keys)] for i in range(queries)]
    return torch.tensor(rows, dtype=torch.bool).view(queries, keys)


@given(LENGTHS, LENGTHS)
@settings(deadline=None)
def test_causal_lines_up_the_last_query_with_the_last_key(queries, more):
    keys = queries + more
    theirs = by_pairs(queries, keys, lambda i, j: j <= i + more)
    assert torch.equal(masks.causal_mask(queries, keys), theirs)


@given(LENGTHS, LENGTHS, st.integers(1, 20))
@settings(deadline=None)
def test_a_window_is_oneself_and_those_right_before(queries, more, window):
    keys = queries + more
    theirs = by_pairs(queries, keys, lambda i, j: 0 <= i + more - j < window)
    assert torch.equal(masks.sliding_window_mask(queries, keys, window), theirs)


@given(st.lists(st.integers(1, 3), max_size=5), st.data())
@settings(deadline=None)
def test_documents_are_runs_of_equal_ids(lengths, data):
    # Two ids in turn, so that equal ids alone would not tell the first from the third.
    ids = [which % 2 for which, length in enumerate(lengths) for _ in range(length)]
    owner = [which for which, length in enumerate(lengths) for _ in range(length)]
    document_ids = torch.tensor(ids, dtype=torch.long)
    theirs = by_pairs(len(ids), len(ids), lambda i, j: owner[i] == owner[j])
    assert torch.equal(masks.document_mask(document_ids), theirs)
    is_token = data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    places = [sum(is_token[j] for j in range(i) if owner[j] == owner[i]) for i in range(len(ids))]
    positions = masks.positions_in_documents(document_ids, torch.tensor(is_token, dtype=torch.bool))
    assert positions.tolist() == places


def test_positions_restart_at_each_document():
    positions = masks.positions_in_documents(torch.tensor([[7, 7, 7, 2, 2], [1, 2, 2, 2, 2]]), None)
    assert positions.tolist() == [[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]]


def test_positions_do_not_count_padding():
    is_token = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]], dtype=torch.bool)
    assert masks.positions_in_documents(None, is_token).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]


def test_nothing_but_causal_is_no_mask():
    assert masks.decoder_mask(3, 5) is None
    assert masks.decoder_mask(3, 5, window=5) is None
    assert masks.decoder_mask(3, 5, window=4) is not None


def test_all_that_is_given_must_allow_a_look():
    document_ids, is_token = torch.tensor([[0, 0, 0, 1]]), torch.tensor([[False, True, True, True]])
    mask = masks.decoder_mask(4, 4, window=2, document_ids=document_ids, attention_mask=is_token)
    expected = [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert mask.long().tolist() == [expected]
