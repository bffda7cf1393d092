"""The loss of a model on a whole text, each token predicted once."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainkit.data import Batch, TokenDataset
from trainkit.loss import batch_loss
from trainkit.precision import Precision, precision_context


@dataclass(frozen=True)
class EvalResult:
    """How well a model predicts a text."""

    loss: float
    """Mean cross-entropy, nats a token."""
    token_count: int
    """Tokens predicted."""
    bits_per_byte: float | None
    """Cross-entropy in bits over the bytes of text: comparable between vocabularies. None where
    the data does not say how many bytes its tokens stand for."""

    @property
    def perplexity(self) -> float:
        """exp(loss): as unsure as among so many equally likely tokens; inf past fp64's range."""
        return math.exp(self.loss) if self.loss < 709 else math.inf


def evaluate(
    model: nn.Module,
    dataset: TokenDataset,
    *,
    context_length: int,
    batch_size: int,
    device: str | torch.device,
    max_tokens: int | None = None,
    precision: Precision = "fp32",
) -> EvalResult:
    """Predict every token of `dataset` but the first, once, in windows that do not overlap.

    Deterministic: the model is in evaluation mode and nothing is drawn. The windows lie side by
    side from the start, the last one as short as it comes. bits_per_byte is
    loss / ln 2 / bytes_per_token.

    Args:
        model: on `device`; its mode is put back afterwards.
        dataset: at least 2 tokens.
        context_length: tokens in a window.
        batch_size: windows computed at once; changes nothing but rounding.
        device: where the batches go.
        max_tokens: predict the first so many only; None predicts all.
        precision: what matrix products are computed in.

    Raises:
        ValueError: the dataset is too short to predict anything.
    """
    tokens = dataset.tokens if max_tokens is None else dataset.tokens[: max_tokens + 1]
    if len(tokens) < 2:
        raise ValueError(f"evaluation needs at least 2 tokens, {dataset.path} has {len(tokens)}")
    total = 0.0
    with evaluation_mode(model), precision_context(precision, device):
        for inputs, targets in _batches(tokens, context_length, batch_size, device):
            total += batch_loss(model, inputs, targets).item() * targets.numel()
    loss = total / (len(tokens) - 1)
    width = dataset.bytes_per_token
    return EvalResult(loss, len(tokens) - 1, loss / math.log(2) / width if width else None)


@contextmanager
def evaluation_mode(model: nn.Module) -> Generator[None]:
    """Nothing learns inside the block: `model.eval()`, no gradients; the mode is put back."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _batches(
    tokens: NDArray[np.integer[Any]],
    context_length: int,
    batch_size: int,
    device: str | torch.device,
) -> Generator[Batch]:
    """Windows side by side, `batch_size` at a time, the short rest alone at the end."""
    whole_end = (len(tokens) - 1) // context_length * context_length
    stride = batch_size * context_length
    for start in range(0, whole_end, stride):
        yield _windows(tokens, start, min(start + stride, whole_end), context_length, device)
    if whole_end < len(tokens) - 1:
        rest = len(tokens) - 1 - whole_end
        yield _windows(tokens, whole_end, len(tokens) - 1, rest, device)


def _windows(
    tokens: NDArray[np.integer[Any]],
    start: int,
    end: int,
    context_length: int,
    device: str | torch.device,
) -> Batch:
    """The windows of `tokens[start:end]`, and the tokens one later."""
    span = torch.from_numpy(tokens[start : end + 1].astype(np.int64)).to(device)
    return span[:-1].view(-1, context_length), span[1:].view(-1, context_length)
