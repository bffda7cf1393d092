"""One update of a model: the gradient of a batch's mean loss, clipped, and the optimizer's step."""

from typing import NamedTuple

import numpy as np
import torch
from optimkit import accumulation_weights, clip_grad_norm_
from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.batch import Batch
from trainkit.config import TrainConfig
from trainkit.execution import Execution
from trainkit.loss import batch_loss
from trainkit.precision import precision_context


class Slope(NamedTuple):
    """Where a batch stands; still on the device, so that asking for a number is what waits."""

    loss: Tensor
    """Mean cross-entropy, nats a token that counts."""
    grad_norm: Tensor
    """Of all gradients together, before clipping."""


class Stepper:
    """Computes gradients, and makes updates of them.

    Args:
        model: on the device of `execution`.
        optimizer: over the model's parameters.
        config: sizes, the clipping norm and the seed.
        execution: how it is computed.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, config: TrainConfig, execution: Execution
    ) -> None:
        self._model, self._optimizer = model, optimizer
        self._config, self._execution = config, execution
        self._batch_loss = torch.compile(batch_loss) if execution.compile else batch_loss

    def compute_gradients(self, batch: Batch, number: int) -> Slope:
        """Put the clipped gradient of the batch's mean loss into `.grad`; no weight moves.

        torch's global generator is seeded by `number`, so a model that draws (dropout) draws the
        same for the same batch.

        Args:
            batch: what to learn from.
            number: of the batch in the run, from 0 on.
        """
        loss = self.backward(batch, number)
        norm = clip_grad_norm_(self._model.parameters(), self._config.max_grad_norm)
        return Slope(loss, norm)

    def backward(self, batch: Batch, number: int) -> Tensor:
        """Like `compute_gradients`, unclipped; the mean loss.

        It is computed a micro batch at a time. Each counts by its targets (`accumulation_weights`),
        so that what is learnt is the mean over those of the whole batch, however it is split.
        """
        torch.manual_seed(_batch_seed(self._config.seed, number))
        self._optimizer.zero_grad(set_to_none=True)
        parts = batch.split(self._config.micro_batch_size)
        weights = accumulation_weights([part.target_count for part in parts])
        total = torch.zeros((), device=self._execution.device)
        for part, weight in zip(parts, weights, strict=True):
            if weight > 0:  # the mean of no targets is NaN
                total += self._backward_part(part, weight)
        return total

    def _backward_part(self, part: Batch, weight: float) -> Tensor:
        with precision_context(self._execution.precision, self._execution.device):
            loss = weight * self._batch_loss(
                self._model,
                part.inputs,
                part.targets,
                document_ids=part.document_ids,
                mask=part.mask,
            )
            loss.backward()
        return loss.detach()

    def apply(self, lr: float) -> None:
        """Let the optimizer go a step down the gradients, at learning rate `lr`."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.step()


def _batch_seed(seed: int, number: int) -> int:
    """A seed for what the model draws in one update: a pure function of (seed, number)."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
