"""The loss of a model on a whole text, each token predicted once."""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from nnparts.functional import cross_entropy
from numpy.typing import NDArray
from torch import nn

from trainkit.batch import make_batch
from trainkit.dataset import TokenDataset
from trainkit.loss import document_arguments
from trainkit.precision import Precision, precision_context
from trainkit.ranks import Ranks

# Starts, `(batch,)`; the length of each; how many of its last tokens are to be predicted.
_Windows = tuple[NDArray[np.int64], int, int]


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
    stride: int | None = None,
    precision: Precision = "fp32",
    ranks: Ranks | None = None,
) -> EvalResult:
    """Predict every token of `dataset` but the first, once.

    Deterministic: the model is in evaluation mode and nothing is drawn. A window begins every
    `stride` tokens, and predicts those that the one before did not: where windows lie side by
    side, the first tokens of each are predicted from little; where they overlap, every token is
    predicted from at least `context_length - stride` before it (but for the text's first). So a
    smaller stride measures the model less hurt by the windows' edges, and costs more.
    bits_per_byte is loss / ln 2 / bytes_per_token. Where the dataset has a `separator_id`, no token
    is predicted from another document, as in training.

    Args:
        model: on `device`; its mode is put back afterwards.
        dataset: at least 2 tokens.
        context_length: tokens in a window.
        batch_size: windows computed at once; changes nothing but rounding.
        device: where the batches go.
        max_tokens: predict the first so many only; None predicts all.
        stride: tokens from the start of a window to the start of the next; None: side by side,
            `context_length`.
        precision: what matrix products are computed in.
        ranks: among whom the windows are divided, a batch in turn to each; all get the same
            result, that of one process but for the order of the sum, in fp64. None: this process
            alone.

    Raises:
        ValueError: the dataset is too short to predict anything, or `stride` is not in
            [1, context_length].
    """
    stride = context_length if stride is None else stride
    if not 1 <= stride <= context_length:
        raise ValueError(f"stride must be in [1, {context_length}], got {stride}")
    count = len(dataset) - 1 if max_tokens is None else min(max_tokens, len(dataset) - 1)
    if count < 1:
        raise ValueError(f"evaluation needs at least 2 tokens, {dataset.path} has {len(dataset)}")
    ranks, total = ranks or Ranks(), 0.0
    batches = _windows(count, context_length, stride, batch_size)
    with evaluation_mode(model), precision_context(precision, device):
        for (starts, length, new), counts in _share(batches, ranks):
            windows = dataset.windows(starts, length + 1)
            batch = make_batch(windows, device, dataset.separator_id)
            logits = model(batch.inputs, **document_arguments(batch.document_ids))
            loss = cross_entropy(logits[:, -new:], batch.targets[:, -new:])
            total += loss.item() * len(starts) * new if counts else 0.0
    [total] = ranks.sum([total])
    loss = total / count
    width = dataset.bytes_per_token
    return EvalResult(loss, count, loss / math.log(2) / width if width else None)


@contextmanager
def evaluation_mode(model: nn.Module) -> Generator[None]:
    """Nothing learns inside the block: `model.eval()`, no gradients; the mode is put back."""
    with eval_mode(model), torch.no_grad():
        yield


@contextmanager
def eval_mode(model: nn.Module) -> Generator[None]:
    """`model.eval()` inside the block; the mode is put back."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _share(batches: Iterator[_Windows], ranks: Ranks) -> Generator[tuple[_Windows, bool]]:
    """A batch in turn for each rank, and whether it counts: not where it is another's, too.

    All have as many: a model that is divided among the ranks computes when all of them call it.
    """
    while turn := list(islice(batches, ranks.size)):
        yield turn[min(ranks.rank, len(turn) - 1)], ranks.rank < len(turn)


def _windows(count: int, context_length: int, stride: int, batch_size: int) -> Generator[_Windows]:
    """How to predict `count` tokens: batches of windows of one length, and how much is new in each.

    Yields:
        Starts of the windows, `(batch,)`; their length; how many of their last tokens no window
        before has predicted.
    """
    first = min(count, context_length)
    yield np.zeros(1, np.int64), first, first
    whole, rest = divmod(count - first, stride)
    starts = stride * np.arange(1, whole + 1)
    for begin in range(0, whole, batch_size):
        yield starts[begin : begin + batch_size], context_length, stride
    if rest:
        yield np.array([stride * (whole + 1)]), context_length - stride + rest, rest
