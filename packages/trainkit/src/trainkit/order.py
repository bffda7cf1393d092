"""In which order windows of a dataset are learnt from: pure functions of (seed, step).

So the order needs no state: any number of workers or ranks sees the same batches, and resuming
is one integer.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Order = Literal["random", "epoch"]
"""How windows are chosen.

"random" draws every start with equal probability and with replacement, as CS336's `get_batch`.
"epoch" takes windows that lie side by side, each once before any comes again, in an order that is
another for every epoch; the last tokens that fill no whole window are left out.
"""

Seed = Sequence[int]

_ROUNDS = 8


def random_starts(seed: Seed, step: int, batch_size: int, start_count: int) -> NDArray[np.int64]:
    """`(batch_size,)` draws from [0, start_count), by numpy's PCG64 of [*seed, step]."""
    return np.random.default_rng([*seed, step]).integers(start_count, size=batch_size)


def epoch_windows(
    seed: Seed, first_sequence: int, batch_size: int, window_count: int
) -> NDArray[np.int64]:
    """Numbers of the windows that sequences `first_sequence`, ... of a run are.

    Sequence g is window permutation_e(g mod window_count) of epoch e = floor(g / window_count).

    Returns:
        `(batch_size,)`, each in [0, window_count).
    """
    sequences = np.arange(first_sequence, first_sequence + batch_size)
    epochs, places = np.divmod(sequences, window_count)
    windows = np.empty_like(places)
    for epoch in np.unique(epochs).tolist():
        is_here = epochs == epoch
        windows[is_here] = permute(places[is_here], window_count, [*seed, epoch])
    return windows


def permute(indices: NDArray[np.int64], count: int, seed: Seed) -> NDArray[np.int64]:
    """Where a random permutation of [0, count) takes `indices`; computed, never stored.

    A Feistel network (Luby and Rackoff 1988, https://doi.org/10.1137/0217022) permutes all numbers
    of 2 b bits, the fewest that hold `count`: in each round (left, right) becomes
    (right, left xor f(right)), which can be undone whatever f is. Where it leads out of
    [0, count) it is applied again until it leads back (cycle walking: Black and Rogaway 2002,
    https://doi.org/10.1007/3-540-45760-7_9), less than four times on average.

    Args:
        indices: any shape, each in [0, count).
        count: at least 1.
        seed: of the permutation.

    Returns:
        The shape of `indices`, each in [0, count).
    """
    half_bits = max(1, ((count - 1).bit_length() + 1) // 2)
    keys = np.random.SeedSequence(seed).generate_state(_ROUNDS, np.uint64).astype(np.uint64)
    result = _feistel(indices.astype(np.uint64), half_bits, keys)
    while (is_outside := result >= count).any():
        result[is_outside] = _feistel(result[is_outside], half_bits, keys)
    return result.astype(np.int64)


def _feistel(x: NDArray[np.uint64], half_bits: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = x >> shift, x & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return left << shift | right


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64: each bit of the result depends on all of `x`.

    Steele, Lea and Flood 2014, figure 17 (https://doi.org/10.1145/2660193.2660195), modulo 2^64.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
