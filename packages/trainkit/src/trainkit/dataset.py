"""Datasets of token ids: what a `Trainer` asks for batches."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from trainkit.batch import Batch, check_sizes, make_batch, rank_rows
from trainkit.order import Order, Seed, epoch_windows, random_starts
from trainkit.shards import Shards, find_shards
from trainkit.token_file import TokenFileInfo, joined_info, read_infos

StrPath = str | PathLike[str]


class TokenDataset:
    """The token ids in one or many token files, mapped into memory, checked when opened.

    A plain `.npy` without a sidecar opens too, as long as nothing is asked that only a sidecar
    can answer: then `info` and `bytes_per_token` are None.

    Args:
        path: the `.npy` file, beside which its sidecar ends in `.json`; or the name that shards
            have in common: `train.npy` where there are `train-00000.npy`, `train-00001.npy`, ...;
            or the files themselves, in order. Several files are one sequence.
        tokenizer_hash: hash of the tokenizer that the files must come from; None asks nothing.
        vocab_size: size of the model's vocabulary, which must hold the files'; None asks nothing.
        order: how `batch` chooses windows, see `Order`.
        separator_id: the token that begins a document; batches then carry `document_ids`, so that
            no attention crosses from one to another. None: they don't.

    Attributes:
        path: the first `.npy` file.
        info: what the sidecars say of all files together.
        order: as given.
        separator_id: as given.

    Raises:
        FileNotFoundError: there is no such file, or it needs a sidecar and has none.
        ValueError: a file is damaged, does not fit its sidecar, was made by another tokenizer or
            for a larger vocabulary than asked for, or the files are not of one tokenizer.
    """

    def __init__(
        self,
        path: StrPath | Sequence[StrPath],
        *,
        tokenizer_hash: str | None = None,
        vocab_size: int | None = None,
        order: Order = "random",
        separator_id: int | None = None,
    ) -> None:
        is_one = isinstance(path, str | PathLike)
        paths = find_shards(Path(path)) if is_one else [Path(each) for each in path]
        if not paths:
            raise ValueError("a dataset needs at least one token file, got none")
        if order not in get_args(Order):
            raise ValueError(f"order must be one of {get_args(Order)}, got {order!r}")
        self.path = paths[0]
        self.order: Order = order
        self.separator_id = separator_id
        self._shards = Shards(paths)
        must_know = tokenizer_hash is not None or vocab_size is not None
        infos = read_infos(self._shards.paths, self._shards.headers, must_know=must_know)
        self.info: TokenFileInfo | None = joined_info(self._shards.paths, infos)
        if self.info is not None:
            self._check_tokenizer(self.info, tokenizer_hash, vocab_size)

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def tokens(self) -> NDArray[np.integer[Any]]:
        """`(token_count,)`, read-only, the dtype of the file; of one file alone.

        Raises:
            ValueError: there are several; `windows` reads across them.
        """
        if len(self._shards.paths) > 1:
            raise ValueError(
                f"{len(self._shards.paths)} token files are no one array; use windows()"
            )
        return self._shards.map(0)

    def windows(self, starts: NDArray[np.int64], length: int) -> NDArray[np.integer[Any]]:
        """`(len(starts), length)`: the ids from each of `starts` on.

        Raises:
            IndexError: a window reaches out of the data.
        """
        if len(starts) and not 0 <= starts.min() <= starts.max() <= len(self) - length:
            raise IndexError(
                f"windows of {length} must begin in [0, {len(self) - length}], got"
                f" {starts.min()} to {starts.max()}"
            )
        return self._shards.windows(starts, length)

    @property
    def bytes_per_token(self) -> float | None:
        """UTF-8 bytes of the text over its tokens; None where unknown."""
        if self.info is None or not self.info.token_count:
            return None
        return self.info.byte_count / self.info.token_count

    @property
    def extra(self) -> dict[str, Any]:
        """What else the writer of the files knew; empty without a sidecar."""
        return {} if self.info is None else self.info.extra

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
        """The batch of one step: a pure function of (seed, step) and the sizes.

        In "random" order the draw is `get_batch` with numpy's PCG64 seeded by [seed, step]; in
        "epoch" order it is the windows `step * batch_size` and after of the epochs end to end, so
        that `batch_size` must be the same for all steps of a run. To resume is to know the step.

        Args:
            seed: of the run, at least 0.
            step: updates done before this one, at least 0.
            batch_size: windows in the batch, of all ranks together.
            context_length: tokens in a window.
            device: where the batch goes.
            rank: whose rows of the batch are wanted.
            world_size: into how many equal parts the rows are divided.

        Returns:
            `inputs` and `targets`, int64, each `(batch, seq)`, the rows of `rank`.

        Raises:
            ValueError: as `get_batch`; `seed` or `step` is negative; `world_size` does not divide
                `batch_size`.
        """
        starts = self.starts([seed], step, step * batch_size, batch_size, context_length)
        starts = starts[rank_rows(batch_size, rank, world_size)]
        return make_batch(self.windows(starts, context_length + 1), device, self.separator_id)

    def starts(
        self, seed: Seed, step: int, first_sequence: int, batch_size: int, context_length: int
    ) -> NDArray[np.int64]:
        """Where the windows of a batch begin, `(batch_size,)`.

        Args:
            seed: of the order.
            step: updates done before.
            first_sequence: windows of this dataset that came before.
            batch_size: how many are wanted.
            context_length: tokens in a window.
        """
        check_sizes(len(self), batch_size, context_length)
        if self.order == "random":
            return random_starts(seed, step, batch_size, len(self) - context_length)
        count = (len(self) - 1) // context_length
        return context_length * epoch_windows(seed, first_sequence, batch_size, count)

    def _check_tokenizer(
        self, info: TokenFileInfo, tokenizer_hash: str | None, vocab_size: int | None
    ) -> None:
        if tokenizer_hash not in (None, info.tokenizer_hash):
            raise ValueError(
                f"{self.path} was made by the tokenizer {info.tokenizer_hash}, not by "
                f"{tokenizer_hash}; encode the text again or use the tokenizer it was made with"
            )
        if vocab_size is not None and info.vocab_size > vocab_size:
            raise ValueError(
                f"{self.path} holds token ids below {info.vocab_size}, the model's vocab_size is "
                f"{vocab_size}; make it at least {info.vocab_size}"
            )
