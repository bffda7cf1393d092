"""Batches of windows from a long sequence of token ids, mapped and never loaded whole."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from trainkit.token_file import (
    TokenFileInfo,
    check_sidecar,
    map_tokens,
    read_sidecar,
    sidecar_path,
)

Batch = tuple[Int64[Tensor, "batch seq"], Int64[Tensor, "batch seq"]]


def get_batch(
    dataset: NDArray[np.integer[Any]],
    batch_size: int,
    context_length: int,
    device: str | torch.device,
    *,
    generator: np.random.Generator | None = None,
) -> Batch:
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
    _check_sizes(len(dataset), batch_size, context_length)
    generator = generator or np.random.default_rng()
    starts = generator.integers(len(dataset) - context_length, size=batch_size)
    windows = sliding_window_view(dataset, context_length + 1)[starts]  # (batch, seq + 1)
    return _to_device(windows[:, :-1], device), _to_device(windows[:, 1:], device)


class TokenDataset:
    """The token ids in one token file, mapped into memory, checked when opened.

    A plain `.npy` without a sidecar opens too, as long as nothing is asked that only a sidecar
    can answer: then `info` and `bytes_per_token` are None.

    Args:
        path: the `.npy` file; its sidecar is the `.json` beside it.
        tokenizer_hash: hash of the tokenizer that the file must come from; None asks nothing.
        vocab_size: size of the model's vocabulary, which must hold the file's; None asks nothing.

    Attributes:
        path: the `.npy` file.
        tokens: `(token_count,)`, read-only, the file's own dtype.
        info: the sidecar.

    Raises:
        FileNotFoundError: there is no such file, or it needs a sidecar and has none.
        ValueError: the file is damaged, does not fit its sidecar, or was made by another tokenizer
            or for a larger vocabulary than asked for.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        tokenizer_hash: str | None = None,
        vocab_size: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.tokens = map_tokens(self.path)
        self.info: TokenFileInfo | None = None
        sidecar = sidecar_path(self.path)
        if sidecar.exists() or tokenizer_hash is not None or vocab_size is not None:
            self.info = read_sidecar(sidecar)
            check_sidecar(self.path, self.tokens, self.info)
            self._check_tokenizer(self.info, tokenizer_hash, vocab_size)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def bytes_per_token(self) -> float | None:
        """UTF-8 bytes of the text over its tokens; None where unknown."""
        if self.info is None or not self.info.token_count:
            return None
        return self.info.byte_count / self.info.token_count

    @property
    def extra(self) -> dict[str, Any]:
        """What else the writer of the file knew; empty without a sidecar."""
        return {} if self.info is None else self.info.extra

    def batch(
        self,
        seed: int,
        step: int,
        batch_size: int,
        context_length: int,
        device: str | torch.device,
    ) -> Batch:
        """The random batch of one step: a pure function of (seed, step) and the sizes.

        The draw is `get_batch` with numpy's PCG64 seeded by `SeedSequence([seed, step])`. So the
        order of the data needs no state: to resume is to know the step.

        Args:
            seed: of the run, at least 0.
            step: updates done before this one, at least 0.
            batch_size: windows to draw.
            context_length: tokens in a window.
            device: where the batch goes.

        Returns:
            `(inputs, targets)`, int64, each `(batch, seq)`.

        Raises:
            ValueError: as `get_batch`, or `seed` or `step` is negative.
        """
        generator = np.random.default_rng([seed, step])
        return get_batch(self.tokens, batch_size, context_length, device, generator=generator)

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


def _check_sizes(token_count: int, batch_size: int, context_length: int) -> None:
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


def _to_device(
    windows: NDArray[np.integer[Any]], device: str | torch.device
) -> Int64[Tensor, "batch seq"]:
    return torch.from_numpy(windows.astype(np.int64, order="C")).to(device)
