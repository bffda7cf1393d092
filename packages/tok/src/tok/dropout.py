"""BPE-dropout: a text's ids with some merges left out at random, to train on many spellings of it.

Provilkov et al. 2020, "BPE-Dropout: Simple and Effective Subword Regularization", algorithm 1
(https://arxiv.org/abs/1910.13267): before each merge, every merge that is possible is dropped with
probability p; of those that remain the one learned first is done; where none remains, the pretoken
is finished. Later steps draw anew.

To draw in the order of the ranks, and only until one remains, gives the same choice: the others'
draws change nothing. So a heap of possible merges does, and a pretoken of n bytes takes on average
n log n / (1 - p) steps, not n**2. This is plain Python: about 0.5 MB/s, 100 times slower than
`Tokenizer.encode`.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from random import Random

Pair = tuple[bytes, bytes]
Merge = tuple[int, int, Pair]
"""Rank, place of the left part, the two parts."""


class Dropout:
    """Merges pretokens, leaving out merges at random.

    Args:
        vocab: id -> bytes.
        merges: pairs of tokens in the order they were learned.
    """

    def __init__(self, vocab: Mapping[int, bytes], merges: Sequence[Pair]) -> None:
        self._ids = {token: token_id for token_id, token in vocab.items()}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}

    def encode(self, pretoken: bytes, p: float, random: Random) -> list[int]:
        """The ids of a pretoken, each possible merge of each step dropped with probability `p`."""
        word = _Word(pretoken)
        possible = [merge for at in range(len(pretoken)) if (merge := self._merge(word, at))]
        heapq.heapify(possible)
        while (joined := _draw(possible, word, p, random)) is not None:
            word.join(joined)
            for left in (word.before[joined], joined):
                if merge := self._merge(word, left):
                    heapq.heappush(possible, merge)
        return [self._ids[token] for token in word.tokens if token]

    def _merge(self, word: _Word, left: int) -> Merge | None:
        """The merge of the token at `left` and the next, if there is one."""
        if (pair := word.pair(left)) in self._ranks:
            return self._ranks[pair], left, pair
        return None


class _Word:
    """The tokens of a pretoken, each at the place of its first byte, linked to its neighbours."""

    def __init__(self, pretoken: bytes) -> None:
        self.tokens = [pretoken[at : at + 1] for at in range(len(pretoken))]
        """Empty where a token was joined to the one before."""
        self.before = list(range(-1, len(pretoken) - 1))
        self.after = list(range(1, len(pretoken) + 1))

    def pair(self, left: int) -> Pair | None:
        """The token at `left` and the next; None where one of the two would be beyond the end."""
        right = self.after[left] if left >= 0 else len(self.tokens)
        return (self.tokens[left], self.tokens[right]) if right < len(self.tokens) else None

    def join(self, left: int) -> None:
        """Makes one token of the one at `left` and the next."""
        right = self.after[left]
        self.tokens[left] += self.tokens[right]
        self.tokens[right] = b""
        self.after[left] = self.after[right]
        if self.after[left] < len(self.tokens):
            self.before[self.after[left]] = left


def _draw(possible: list[Merge], word: _Word, p: float, random: Random) -> int | None:
    """The place of the first merge that is not dropped, which leaves the heap; the others stay."""
    chosen: int | None = None
    dropped: list[Merge] = []
    while possible and chosen is None:
        merge = heapq.heappop(possible)
        _, left, pair = merge
        # Stale where either side was merged since: the pair is another one, and was pushed itself.
        if word.pair(left) != pair:
            continue
        if random.random() < p:
            dropped.append(merge)
        else:
            chosen = left
    for merge in dropped:
        heapq.heappush(possible, merge)
    return chosen
