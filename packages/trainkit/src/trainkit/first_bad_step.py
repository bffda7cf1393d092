"""The first step that went wrong, known without waiting for any."""

import torch
from torch import Tensor

from trainkit.step import Slope


class FirstBadStep:
    """The first step whose loss or gradient is not finite, kept on the device that computed it.

    To note a step waits for nothing: a few operations on numbers that are there compare and keep
    it, and a GPU goes on to the next. To read is what waits. What comes after a bad step does not
    count: its update has spoilt weights, mostly all of them; and where it spoilt a few, as the
    embedding of a token that comes seldom, later losses look as if nothing had been.

    Args:
        judges_loss: whether a loss that isn't finite, beside a gradient that is, makes a step bad.
    """

    def __init__(self, *, judges_loss: bool = True) -> None:
        self._judges_loss = judges_loss
        self._kept: tuple[Tensor, Slope] | None = None  # the batch's number, -1 for none

    def note(self, slope: Slope, batch_number: int) -> None:
        """Keep a step if it is bad and none before it was.

        Args:
            slope: of its batch.
            batch_number: of its batch in the order of the data.
        """
        if self._kept is None:
            none = torch.full((), -1, dtype=torch.int64, device=slope.grad_norm.device)
            self._kept = none, slope
        number, kept = self._kept
        is_finite = slope.grad_norm.isfinite()
        if self._judges_loss:
            is_finite = is_finite & slope.loss.isfinite()
        takes = ~is_finite & (number < 0)
        self._kept = (
            torch.where(takes, batch_number, number),
            Slope(*(torch.where(takes, *each) for each in zip(slope, kept, strict=True))),
        )

    def read(self) -> tuple[int, Slope] | None:
        """The number of the first bad step's batch, and its slope; None where all were good."""
        if self._kept is None or (number := int(self._kept[0])) < 0:
            return None
        return number, self._kept[1]

    def forget(self) -> None:
        """Begin anew."""
        self._kept = None
