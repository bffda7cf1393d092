"""Memory of a training step: parameters, gradients, optimizer state and activations."""

import dataclasses
from dataclasses import dataclass
from typing import NotRequired, TypedDict, Unpack

import torch

from nnparts.accounting.activations import Loss, activations
from nnparts.accounting.counts import evaluate, sizes
from nnparts.accounting.parameters import parameters
from nnparts.chunked_loss import CHUNK
from nnparts.config import TransformerConfig
from nnparts.kernels import Impl

_FP32 = 4  # bytes; the least in which a state is kept


class TrainingOptions(TypedDict):
    """How a model is trained, as far as its memory depends on it.

    Attributes:
        dtype: of parameters, gradients and residual stream; fp32 if not given.
        impl: "fast" if not given.
        checkpoint_blocks: False if not given.
        loss: "whole" if not given; `trainkit` trains by "chunked".
    """

    dtype: NotRequired[torch.dtype]
    impl: NotRequired[Impl]
    checkpoint_blocks: NotRequired[bool]
    loss: NotRequired[Loss]


@dataclass(frozen=True)
class Memory:
    """Bytes that a training step with AdamW needs at its fullest moment, by what they are for.

    That is when the backward pass begins and the gradients of an earlier part of the batch are
    there already (gradient accumulation). Without one, they fill up while the activations go, and
    the peak is lower by the smaller of the two. Not counted: what the allocator loses in between.

    Attributes:
        parameters: P numbers of `dtype`.
        gradients: as many.
        optimizer: AdamW's two moments, in fp32 at least, and for a narrower `dtype` what rounding
            took from the weights: see `memory`.
        activations: kept for the backward pass.
        logits_gradients: twice the logits: their gradient comes in two parts, by the sum over the
            vocabulary and by the target, which are there at once. The largest of what a backward
            pass needs for a moment, unless the vocabulary is tiny. Of a chunked loss, what it needs
            for a moment: the hidden states or their scaled gradient, and the more of the logits of
            a chunk beside a share of the head's gradient, and of that gradient scaled.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    logits_gradients: int

    @property
    def total(self) -> int:
        """The sum."""
        return sum(dataclasses.astuple(self))


def memory(
    config: TransformerConfig,
    batch_size: int = 1,
    context_length: int | None = None,
    **options: Unpack[TrainingOptions],
) -> Memory:
    """Bytes for P parameters of w bytes, their gradients, AdamW's state, and what grows by batch.

    16 P in fp32: 4 P each for parameters, gradients and two moments. 16 P in bf16, too, as
    `optimkit` trains: 2 P, 2 P, the moments in fp32, and 4 P for what rounding took from the
    weights. (`torch.optim.AdamW` keeps bf16 moments and no more: 8 P, and small updates are lost.)
    With checkpointed blocks the total is a bound: the logits are gone by the time that a block is
    recomputed.

    Args:
        config: the model.
        batch_size: sequences that go through the model at once.
        context_length: tokens in each; the config's own if None.
        **options: `TrainingOptions`.

    Raises:
        ValueError: as in `counts.sizes`.
    """
    width = options.get("dtype", torch.float32).itemsize
    count = parameters(config).total
    kept = activations(config, batch_size, context_length, **options).total
    state = 2 * max(_FP32, width) + (_FP32 if width < _FP32 else 0)
    moment = _loss_moment(config, batch_size, context_length, width, options.get("loss", "whole"))
    return Memory(width * count, width * count, state * count, kept, moment)


def _loss_moment(
    config: TransformerConfig, batch_size: int, context_length: int | None, width: int, loss: Loss
) -> int:
    """Bytes that the loss needs beside what it keeps, at its fullest."""
    numbers = sizes(config, batch_size, context_length)
    if loss == "whole":
        return 2 * evaluate(f"{width} batch seq vocab_size", numbers)
    # fp32 at least, and where the model is narrower a second copy in its dtype.
    wide = max(4, width)
    both = wide if width >= wide else wide + width
    chunk = evaluate(f"{both} {CHUNK} vocab_size", numbers)
    head = evaluate("vocab_size d_model", numbers)
    hidden = evaluate(f"{width} batch seq d_model", numbers)
    return hidden + max(chunk + width * head, both * head)


def bytes_per_sequence(
    config: TransformerConfig,
    context_length: int | None = None,
    **options: Unpack[TrainingOptions],
) -> int:
    """The bytes that each further sequence of a batch adds to `memory`.

    Memory is a + b batch_size, and this is b: a mask is the same for every sequence, all other
    activations grow with the batch, and nothing else does.

    Args:
        config: the model.
        context_length: tokens in each; the config's own if None.
        **options: `TrainingOptions`.

    Raises:
        ValueError: as in `counts.sizes`.
    """
    one, two = (memory(config, size, context_length, **options).total for size in (1, 2))
    return two - one


def largest_batch(
    config: TransformerConfig,
    available: int,
    context_length: int | None = None,
    **options: Unpack[TrainingOptions],
) -> int:
    """The most sequences whose `memory` fits in `available` bytes; 0 if not even one does.

    Args:
        config: the model.
        available: bytes.
        context_length: tokens in each sequence; the config's own if None.
        **options: `TrainingOptions`.

    Raises:
        ValueError: as in `counts.sizes`.
    """
    each = bytes_per_sequence(config, context_length, **options)
    fixed = memory(config, 1, context_length, **options).total - each
    return max(0, (available - fixed) // each)
