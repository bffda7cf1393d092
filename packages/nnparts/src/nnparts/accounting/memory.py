"""Memory of a training step: parameters, gradients, optimizer state and activations."""

from dataclasses import dataclass
from typing import NotRequired, TypedDict, Unpack

import torch

from nnparts.accounting.activations import activations
from nnparts.accounting.parameters import parameters
from nnparts.config import TransformerConfig
from nnparts.kernels import Impl

_ADAMW_STATE_BYTES = 8  # exp_avg and exp_avg_sq, in fp32 also for bf16 weights


class TrainingOptions(TypedDict):
    """How a model is trained, as far as its memory depends on it.

    Attributes:
        dtype: of parameters, gradients and residual stream; fp32 if not given.
        impl: "fast" if not given.
        checkpoint_blocks: False if not given.
    """

    dtype: NotRequired[torch.dtype]
    impl: NotRequired[Impl]
    checkpoint_blocks: NotRequired[bool]


@dataclass(frozen=True)
class Memory:
    """Bytes that a training step with AdamW holds, by what they are for.

    Attributes:
        parameters: P numbers of `dtype`.
        gradients: as many.
        optimizer: AdamW's two moments: 8 P, in fp32 for every dtype that is no wider.
        activations: kept for the backward pass.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """The sum of the four, from which the peak of a step differs either way.

        It is more, as gradients grow while activations go. It is less, as each operation needs its
        result and its gradient beside what is kept: the largest is that of the logits.
        """
        return self.parameters + self.gradients + self.optimizer + self.activations


def memory(
    config: TransformerConfig,
    batch_size: int = 1,
    context_length: int | None = None,
    **options: Unpack[TrainingOptions],
) -> Memory:
    """(2 w + 8) P + activations bytes, with w bytes a parameter: 16 P in fp32, 12 P in bf16.

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
    state = max(_ADAMW_STATE_BYTES, 2 * width)
    return Memory(width * count, width * count, state * count, kept)


def bytes_per_sequence(
    config: TransformerConfig,
    context_length: int | None = None,
    **options: Unpack[TrainingOptions],
) -> int:
    """The bytes that each further sequence of a batch adds to `memory`.

    Memory is a + b batch_size, and this is b: a mask is the same for every sequence, all other
    activations grow with the batch, and nothing else does.
    """
    one, two = (memory(config, size, context_length, **options).total for size in (1, 2))
    return two - one


def largest_batch(
    config: TransformerConfig,
    available: int,
    context_length: int | None = None,
    **options: Unpack[TrainingOptions],
) -> int:
    """The most sequences whose `memory` fits in `available` bytes; 0 if not even one does."""
    each = bytes_per_sequence(config, context_length, **options)
    fixed = memory(config, 1, context_length, **options).total - each
    return max(0, (available - fixed) // each)
