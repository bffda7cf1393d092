"""BPE-dropout. Parity: the definition, draw by draw. Property: round trips, p = 0 is `encode`.

The definition itself: the paper's algorithm, by odds.
"""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tok import Tokenizer, reference

END = "<|endoftext|>"
BYTES = {token_id: bytes([token_id]) for token_id in range(256)}
SEEDS = st.integers(0, 2**64 - 1)


@given(data=st.data(), p=st.floats(0, 1), seed=SEEDS)
def test_ids_are_those_of_the_definition(small, texts, data, p, seed):
    text = data.draw(texts)
    theirs = reference.encode_dropout(
        text, small.vocab, small.merges, p, seed, small.special_tokens
    )
    assert small.encode_dropout(text, p, seed) == theirs


@given(data=st.data(), seed=SEEDS)
def test_nothing_left_out_is_encode_and_all_left_out_is_bytes(small, texts, data, seed):
    text = data.draw(texts)
    assert small.encode_dropout(text, 0, seed) == small.encode(text)
    pieces = [piece.encode() for piece in text.split(END)]
    without_merges = small.encode_dropout(text, 1, seed)
    assert len(without_merges) == sum(map(len, pieces)) + len(pieces) - 1


@given(data=st.data(), p=st.floats(0, 1), seed=SEEDS)
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
VOCAB = BYTES | {256 + rank: left + right for rank, (left, right) in enumerate(MERGES)}


def odds(word: tuple[bytes, ...], p: float) -> Counter[tuple[bytes, ...]]:
    """The odds of each way to write `word`, by the paper's algorithm: no draw, all branches."""
    merges = [(MERGES.index(pair), at) for at, pair in enumerate(pairwise(word)) if pair in MERGES]
    total: Counter[tuple[bytes, ...]] = Counter({word: p ** len(merges)})
    for dropped, (_, at) in enumerate(sorted(merges)):
        joined = (*word[:at], word[at] + word[at + 1], *word[at + 2 :])
        for ending, chance in odds(joined, p).items():
            total[ending] += p**dropped * (1 - p) * chance
    return total


def draws_by_word(ids, vocab, word):
    """How often each way to write `word` stands in the ids of `word * n`."""
    drawn, parts = Counter(), ()
    for token_id in ids:
        parts += (vocab[token_id],)
        if b"".join(parts) == word:
            drawn[parts] += 1
            parts = ()
    return drawn


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_each_way_to_write_a_word_comes_as_often_as_in_the_paper(p):
    word, draws = b"abaab", 20_000
    tokenizer = Tokenizer(VOCAB, MERGES, pattern=word.decode())
    ids = tokenizer.encode_dropout(word.decode() * draws, p, seed=1)
    drawn = draws_by_word(ids, VOCAB, word)
    assert drawn.total() == draws
    expected = odds(tuple(bytes([byte]) for byte in word), p)
    assert sum(expected.values()) == pytest.approx(1)
    for way in expected | drawn:
        # Five standard deviations of a binomial count, and one for those expected hardly ever.
        deviation = (draws * expected[way] * (1 - expected[way])) ** 0.5
        assert abs(drawn[way] - draws * expected[way]) <= 5 * deviation + 1, way


def test_a_pretoken_of_1_mb_takes_no_square_of_time(small):
    text = "e" * 1_000_000  # a square of this would take an hour
    assert small.decode(small.encode_dropout(text, 0.1, 0)) == text


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(small, p):
    with pytest.raises(ValueError, match="p must be a probability from 0 to 1, got"):
        small.encode_dropout("x", p, 0)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_what_is_no_seed_is_refused(small, seed):
    with pytest.raises(ValueError, match=rf"seed must be .* below 2\*\*64, got {seed}"):
        small.encode_dropout("x", 0.1, seed)


def test_the_tokenizer_has_merges_to_leave_out():
    tokenizer = Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")])
    seen = {tuple(tokenizer.encode_dropout("ab", 0.5, seed)) for seed in range(50)}
    assert seen == {(256,), (97, 98)}
