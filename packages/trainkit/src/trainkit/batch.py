"""Batches of windows: what one update learns from."""

from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor


class Batch(NamedTuple):
    """What one update learns from."""

    inputs: Int64[Tensor, "batch seq"]
    """What the model is shown."""
    targets: Int64[Tensor, "batch seq"]
    """What follows each input."""
    document_ids: Int64[Tensor, "batch seq"] | None = None
    """Which document of its row each input belongs to: none may look at another's. None: all are
    of one."""
    mask: Bool[Tensor, "batch seq"] | None = None
    """True where the target counts in the loss. None: everywhere."""

    def split(self, size: int) -> "list[Batch]":
        """The same in parts of `size` sequences; the last has what is left."""
        parts = [repeat(None) if field is None else field.split(size) for field in self]
        return [Batch(*fields) for fields in zip(*parts, strict=False)]

    @property
    def target_count(self) -> int:
        """Targets that count in the loss. Where there is a mask, asking waits for a GPU."""
        return self.targets.numel() if self.mask is None else int(self.mask.sum())


def get_batch(
    dataset: NDArray[np.integer[Any]],
    batch_size: int,
    context_length: int,
    device: str | torch.device,
    *,
    generator: np.random.Generator | None = None,
) -> tuple[Int64[Tensor, "batch seq"], Int64[Tensor, "batch seq"]]:
    """Draw windows uniformly, with replacement, from all `len(dataset) - context_length` starts.

    Args:
        dataset: `(token_count,)`, any integer dtype; a memory-mapped array is read only where the
            windows lie.
        batch_size: windows to draw.
        context_length: tokens in a window.
        device: where the batch goes; torch raises RuntimeError (AssertionError where it was built
            without that kind of device) for one that does not exist.
        generator: source of the draw; None takes a fresh one from the system's entropy.

    Returns:
        `(inputs, targets)`, int64, each `(batch, seq)` with seq = `context_length`; `targets` is
        `inputs` one position later.

    Raises:
        ValueError: the dataset has no whole window, or a size is below 1.
    """
    check_sizes(len(dataset), batch_size, context_length)
    generator = generator or np.random.default_rng()
    starts = generator.integers(len(dataset) - context_length, size=batch_size)
    windows = sliding_window_view(dataset, context_length + 1)[starts]  # (batch, seq + 1)
    batch = make_batch(windows, device)
    return batch.inputs, batch.targets


def make_batch(
    windows: NDArray[np.integer[Any]],
    device: str | torch.device,
    separator_id: int | None = None,
) -> Batch:
    """Windows, `(batch, seq + 1)`, as inputs and targets on `device`.

    Args:
        windows: of any integer dtype.
        device: where the batch goes; copied without waiting where it is a GPU.
        separator_id: the token between documents, from which `document_ids` are told; it belongs
            to the document that it begins. So every token is predicted by its own document, the
            first from the separator alone, as when a model writes from nothing, and the separator
            by the document that it ends: no target is lost.
    """
    ids = torch.from_numpy(windows.astype(np.int64, order="C"))
    if torch.device(device).type == "cuda":
        ids = ids.pin_memory()
    ids = ids.to(device, non_blocking=True)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    if separator_id is None:
        return Batch(inputs, targets)
    return Batch(inputs, targets, (inputs == separator_id).cumsum(dim=1))


def check_sizes(token_count: int, batch_size: int, context_length: int) -> None:
    """Raise ValueError unless a batch of whole windows can be had."""
    if batch_size < 1 or context_length < 1:
        raise ValueError(
            f"batch_size and context_length must be at least 1, got {batch_size=} and "
            f"{context_length=}"
        )
    if token_count <= context_length:
        raise ValueError(
            f"a window of context_length {context_length} and its target need "
            f"{context_length + 1} tokens, the dataset has {token_count}; give more data or a "
            "shorter context"
        )


def rank_rows(batch_size: int, rank: int, world_size: int) -> slice:
    """The rows of a global batch that are computed by `rank` of `world_size`.

    Raises:
        ValueError: they don't divide the batch, or there is no such rank.
    """
    if world_size < 1 or not 0 <= rank < world_size or batch_size % world_size:
        raise ValueError(
            "batch_size must be divisible by world_size, and rank in [0, world_size), got "
            f"{batch_size=}, {rank=} and {world_size=}"
        )
    share = batch_size // world_size
    return slice(rank * share, (rank + 1) * share)
