"""Several datasets as one, by weight."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from trainkit.batch import Batch, make_batch, rank_rows
from trainkit.dataset import TokenDataset

# Sequences in which each dataset gets its exact share: weights are kept to 1 / 8,192.
BLOCK = 4096


class Mixture:
    """Batches whose sequences come from several datasets in given proportions.

    Of every `BLOCK` sequences of a run each dataset gets its share, rounded to whole sequences, in
    a shuffled order: so proportions hold exactly and not just on average, and how many sequences
    of a dataset came before is known without counting. Like `TokenDataset`'s, a batch is a pure
    function of (seed, step); each dataset goes through its windows in its own `order`.

    Args:
        parts: datasets with their weights; only the proportions of the weights matter.

    Attributes:
        datasets: in the order given.
        quotas: sequences of each in a block.

    Raises:
        ValueError: there is no dataset, a weight is not positive or too small to get one sequence
            of a block, or the datasets are not of one tokenizer and one `separator_id`.
    """

    def __init__(self, parts: Sequence[tuple[TokenDataset, float]]) -> None:
        self.datasets = [dataset for dataset, _ in parts]
        self.quotas = _quotas([weight for _, weight in parts])
        hashes = {data.info.tokenizer_hash for data in self.datasets if data.info is not None}
        if len(hashes) > 1:
            raise ValueError(f"a mixture must be of one tokenizer, got those of {sorted(hashes)}")
        separators = {data.separator_id for data in self.datasets}
        if len(separators) > 1:
            raise ValueError(f"a mixture must have one separator_id, got {separators}")
        self.separator_id = separators.pop()

    def __len__(self) -> int:
        return sum(map(len, self.datasets))

    def batch(
        self,
        seed: int,
        step: int,
        batch_size: int,
        context_length: int,
        device: str | torch.device,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> Batch:
        """The batch of one step; arguments and errors as for `TokenDataset.batch`.

        `batch_size` must be the same for all steps of a run.
        """
        mine = rank_rows(batch_size, rank, world_size)
        parts, places = self.assign(seed, step * batch_size, batch_size)
        windows = np.empty((batch_size, context_length + 1), np.int64)
        for index, data in enumerate(self.datasets):
            rows = np.flatnonzero(parts == index)
            if len(rows):
                first = int(places[rows[0]])
                starts = data.starts([seed, index], step, first, len(rows), context_length)
                is_mine = (mine.start <= rows) & (rows < mine.stop)
                windows[rows[is_mine]] = data.windows(starts[is_mine], context_length + 1)
        return make_batch(windows[mine], device, self.separator_id)

    def assign(
        self, seed: int, first_sequence: int, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each sequence of a run from `first_sequence` on: its dataset, and its place there.

        Returns:
            Numbers of datasets and counts of that dataset's sequences before, each `(count,)`.
        """
        sequences = np.arange(first_sequence, first_sequence + count)
        blocks, offsets = np.divmod(sequences, BLOCK)
        parts, places = np.empty_like(sequences), np.empty_like(sequences)
        for block in np.unique(blocks).tolist():
            is_here = blocks == block
            order = np.repeat(np.arange(len(self.quotas)), self.quotas)
            np.random.default_rng([seed, block]).shuffle(order)
            before = np.empty(BLOCK, np.int64)
            for index, quota in enumerate(self.quotas.tolist()):
                before[order == index] = block * quota + np.arange(quota)
            parts[is_here], places[is_here] = order[offsets[is_here]], before[offsets[is_here]]
        return parts, places


def _quotas(weights: Sequence[float]) -> NDArray[np.int64]:
    """Whole numbers in proportion to `weights` that sum to `BLOCK`, by largest remainders."""
    shares = np.asarray(weights, float)
    if not (len(shares) and np.isfinite(shares).all() and (shares > 0).all()):
        raise ValueError(f"a mixture needs positive, finite weights, got {list(weights)}")
    shares = BLOCK * shares / shares.sum()
    quotas = np.floor(shares).astype(np.int64)
    quotas[np.argsort(quotas - shares, kind="stable")[: BLOCK - quotas.sum()]] += 1
    if not quotas.all():
        raise ValueError(
            f"a weight below 1 / {BLOCK} of all would never be drawn, got {list(weights)}"
        )
    return quotas
