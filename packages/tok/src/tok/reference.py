"""Byte-level BPE in plain Python: the definition that the fast encoder is tested against.

Read this file to learn what a tokenizer does; use `tok.Tokenizer` to tokenize. Four functions:

    pretokenize      "Hello, world"  ->  ["Hello", ",", " world"]
    train_bpe        text            ->  a vocabulary and the merges, in the order learned
    encode           text            ->  token ids
    encode_dropout   text            ->  token ids, with merges left out at random

Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"
(https://arxiv.org/abs/1508.07909) brought BPE to words; Radford et al. 2019, "Language Models are
Unsupervised Multitask Learners", section 2.2, brought it to bytes: 256 symbols spell every text,
so nothing is ever unknown.

Needs the `regex` package: `pip install tok[reference]`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import regex
from bpe_rs import GPT2_PATTERN

Pair = tuple[bytes, bytes]
Word = tuple[bytes, ...]
"""A pretoken as the tokens that it is made of so far: `(b"th", b"e")`."""

_PRETOKEN = regex.compile(GPT2_PATTERN)


def pretokenize(text: str, special_tokens: Sequence[str] = ()) -> list[str]:
    """Cuts `text` into pretokens, the pieces that no merge crosses; joined they are the text again.

    A special token is a piece of its own; where several could stand, the longest does.
    """
    if not special_tokens:
        return _PRETOKEN.findall(text)
    longest_first = sorted(special_tokens, key=len, reverse=True)
    special = regex.compile("(" + "|".join(map(regex.escape, longest_first)) + ")")
    pretokens: list[str] = []
    for position, piece in enumerate(special.split(text)):
        # `split` with a group alternates: plain text, special token, plain text, ...
        pretokens += [piece] if position % 2 else _PRETOKEN.findall(piece)
    return pretokens


def train_bpe(
    text: str, vocab_size: int, special_tokens: Sequence[str] = ()
) -> tuple[dict[int, bytes], list[Pair]]:
    """Learns merges: join the most frequent pair of neighbours, count again, until full.

    Ids: special tokens in the given order, the 256 bytes, then one token for each merge.
    Of pairs that are equally frequent, the greater `(left bytes, right bytes)` is merged.

    Args:
        text: what to learn from.
        vocab_size: the most tokens there may be, special tokens and bytes included; fewer come
            out when no pair is left to merge.
        special_tokens: kept whole; no pretoken crosses them and they are never counted.
    """
    tokens = [token.encode() for token in special_tokens] + [bytes([byte]) for byte in range(256)]
    pairs = _Pairs(_count_words(text, special_tokens))
    merges: list[Pair] = []
    while len(tokens) < vocab_size and (pair := pairs.most_frequent()):
        merges.append(pair)
        tokens.append(pair[0] + pair[1])
        pairs.merge(pair)
    return dict(enumerate(tokens)), merges


def encode(
    text: str,
    vocab: Mapping[int, bytes],
    merges: Sequence[Pair],
    special_tokens: Mapping[str, int] | None = None,
) -> list[int]:
    """Turns `text` into ids: pretokenize, then repeat the merges in the order they were learned."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    return _encode(text, vocab, special_tokens or {}, lambda word: _merge_all(word, ranks))


def encode_dropout(
    text: str,
    vocab: Mapping[int, bytes],
    merges: Sequence[Pair],
    p: float,
    seed: int,
    special_tokens: Mapping[str, int] | None = None,
) -> list[int]:
    """Turns `text` into ids with merges left out at random, each with probability `p` at each step.

    Provilkov et al. 2020, "BPE-Dropout: Simple and Effective Subword Regularization", algorithm 1
    (https://arxiv.org/abs/1910.13267). `seed`, from 0 to 2**64 - 1, settles all draws.
    """
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    draws = _uniform(seed)

    def merge(word: Word) -> Word:
        return _merge_some(word, ranks, p, draws)

    return _encode(text, vocab, special_tokens or {}, merge)


def _encode(
    text: str,
    vocab: Mapping[int, bytes],
    special_ids: Mapping[str, int],
    merge: Callable[[Word], Word],
) -> list[int]:
    token_ids = {token: token_id for token_id, token in vocab.items()}
    ids: list[int] = []
    for pretoken in pretokenize(text, list(special_ids)):
        if pretoken in special_ids:
            ids.append(special_ids[pretoken])
        else:
            ids += [token_ids[token] for token in merge(_spell(pretoken))]
    return ids


def _spell(pretoken: str) -> Word:
    return tuple(bytes([byte]) for byte in pretoken.encode())


def _count_words(text: str, special_tokens: Sequence[str]) -> Counter[Word]:
    """How often each pretoken occurs, spelled in bytes; special tokens left out."""
    counts = Counter(pretokenize(text, special_tokens))
    return Counter({_spell(p): n for p, n in counts.items() if p not in special_tokens})


def _merge_all(word: Word, ranks: Mapping[Pair, int]) -> Word:
    """Joins the tokens of the merge learned first, the leftmost of several, until there is none.

    One place at a time: a merge that no training gave may stand before those that make its parts.
    """
    while possible := _possible(word, ranks):
        _, at = possible[0]
        word = _join_at(word, at)
    return word


def _merge_some(word: Word, ranks: Mapping[Pair, int], p: float, draws: Iterator[float]) -> Word:
    """Joins two tokens, again and again, until each merge that could be done is dropped.

    Of those that are not dropped, the one learned first is done, the leftmost of several. So they
    are drawn in that order, until one remains: the other draws would change nothing.
    """
    while True:
        kept = (at for _, at in _possible(word, ranks) if next(draws) >= p)
        if (chosen := next(kept, None)) is None:
            return word
        word = _join_at(word, chosen)


def _possible(word: Word, ranks: Mapping[Pair, int]) -> list[tuple[int, int]]:
    """The merges that could be done, each with its place, those learned first before others."""
    pairs = enumerate(pairwise(word))
    return sorted((ranks[pair], at) for at, pair in pairs if pair in ranks)


def _join_at(word: Word, at: int) -> Word:
    """Joins the tokens at `at` and behind it."""
    return (*word[:at], word[at] + word[at + 1], *word[at + 2 :])


def _uniform(seed: int) -> Iterator[float]:
    """Random numbers from 0 to below 1: the high 53 bits of SplitMix64's.

    Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators", figure 16
    (https://doi.org/10.1145/2660193.2660195), with the constants of its public-domain C version.
    """
    state, mask = seed, 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        yield ((mixed ^ (mixed >> 31)) >> 11) / 2**53


def _join(word: Word, pair: Pair) -> Word:
    """Replaces each `pair` in `word`, from the left, by its two tokens in one."""
    joined: list[bytes] = []
    position = 0
    while position < len(word):
        found = word[position : position + 2] == pair
        joined.append(pair[0] + pair[1] if found else word[position])
        position += 2 if found else 1
    return tuple(joined)


class _Pairs:
    """Counts of neighbouring tokens over all words, kept up to date from merge to merge.

    Counting anew after each merge gives the same; but a merge changes only the words that hold
    its pair, so only those are looked at.
    """

    def __init__(self, word_counts: Mapping[Word, int]) -> None:
        self._counts: Counter[Pair] = Counter()
        self._words: defaultdict[Pair, Counter[Word]] = defaultdict(Counter)
        for word, count in word_counts.items():
            self._add(word, count)

    def most_frequent(self) -> Pair | None:
        """The pair to merge next: highest count first, then the greater bytes."""
        if not self._counts:
            return None
        highest = max(self._counts.values())
        return max(pair for pair, count in self._counts.items() if count == highest)

    def merge(self, pair: Pair) -> None:
        """Takes each word that holds `pair` out and puts it back with the pair joined."""
        for word, count in list(self._words[pair].items()):
            self._add(word, -count)
            self._add(_join(word, pair), count)

    def _add(self, word: Word, count: int) -> None:
        for pair in pairwise(word):
            self._counts[pair] += count
            if not self._counts[pair]:
                del self._counts[pair]
        for pair in set(pairwise(word)):
            self._words[pair][word] += count
            if not self._words[pair][word]:
                del self._words[pair][word]
