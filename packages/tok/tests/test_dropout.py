"""BPE-dropout. Property: round trips, p = 0 is `encode`. Parity: the paper's algorithm, by odds."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tok import Tokenizer
from tok.dropout import Dropout

END = "<|endoftext|>"
BYTES = {token_id: bytes([token_id]) for token_id in range(256)}


@given(data=st.data(), seed=st.integers())
def test_nothing_left_out_is_encode_and_all_left_out_is_bytes(small, texts, data, seed):
    text = data.draw(texts)
    assert small.encode_dropout(text, 0, seed) == small.encode(text)
    pieces = [piece.encode() for piece in text.split(END)]
    without_merges = small.encode_dropout(text, 1, seed)
    assert len(without_merges) == sum(map(len, pieces)) + len(pieces) - 1


@given(data=st.data(), p=st.floats(0, 1), seed=st.integers())
def test_the_text_is_the_same_whatever_is_left_out(small, texts, data, p, seed):
    text = data.draw(texts)
    ids = small.encode_dropout(text, p, seed)
    assert small.decode(ids) == text
    assert ids == small.encode_dropout(text, p, seed)
    assert ids.count(0) == small.encode(text).count(0)  # special tokens are never taken apart


def test_other_seeds_give_other_ids(small, corpus):
    assert small.encode_dropout(corpus, 0.5, 0) != small.encode_dropout(corpus, 0.5, 1)


def test_more_left_out_means_more_tokens(small, corpus):
    counts = [len(small.encode_dropout(corpus, p, 0)) for p in (0, 0.1, 0.5, 0.9, 1)]
    assert counts == sorted(set(counts))


MERGES = [(b"a", b"b"), (b"b", b"a"), (b"ab", b"a"), (b"a", b"a"), (b"ab", b"ab")]
DROPOUT = Dropout(
    BYTES | {256 + rank: left + right for rank, (left, right) in enumerate(MERGES)}, MERGES
)


def odds(word: tuple[bytes, ...], p: float) -> Counter[tuple[bytes, ...]]:
    """The odds of each way to write `word`, by the paper's algorithm: no draw, all branches."""
    merges = [(MERGES.index(pair), at) for at, pair in enumerate(pairwise(word)) if pair in MERGES]
    total: Counter[tuple[bytes, ...]] = Counter({word: p ** len(merges)})
    for dropped, (_, at) in enumerate(sorted(merges)):
        joined = (*word[:at], word[at] + word[at + 1], *word[at + 2 :])
        for ending, chance in odds(joined, p).items():
            total[ending] += p**dropped * (1 - p) * chance
    return total


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_each_way_to_write_a_word_comes_as_often_as_in_the_paper(p):
    pretoken, draws, random = b"abaab", 20_000, Random(1)
    vocab = BYTES | {256 + rank: left + right for rank, (left, right) in enumerate(MERGES)}
    drawn = Counter(
        tuple(vocab[token_id] for token_id in DROPOUT.encode(pretoken, p, random))
        for _ in range(draws)
    )
    expected = odds(tuple(bytes([byte]) for byte in pretoken), p)
    assert sum(expected.values()) == pytest.approx(1)
    for word in expected | drawn:
        # Five standard deviations of a binomial count, and one for those expected hardly ever.
        deviation = (draws * expected[word] * (1 - expected[word])) ** 0.5
        assert abs(drawn[word] - draws * expected[word]) <= 5 * deviation + 1, word


def test_a_pretoken_of_100_kb_takes_no_square_of_time(small):
    text = "e" * 100_000  # a square of this would take an hour
    assert small.decode(small.encode_dropout(text, 0.1, 0)) == text


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(small, p):
    with pytest.raises(ValueError, match="p must be a probability from 0 to 1, got"):
        small.encode_dropout("x", p, 0)


def test_the_tokenizer_has_merges_to_leave_out():
    tokenizer = Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")])
    seen = {tuple(tokenizer.encode_dropout("ab", 0.5, seed)) for seed in range(50)}
    assert seen == {(256,), (97, 98)}
