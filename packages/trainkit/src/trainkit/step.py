"""One update of a model: the gradient of a batch's mean loss, clipped, and the optimizer's step."""

from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from optimkit import accumulation_weights, clip_grad_norm_, gradient_row_norms
from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.batch import Batch
from trainkit.config import TrainConfig
from trainkit.data_parallel import data_parallel
from trainkit.execution import Execution
from trainkit.loss import batch_loss, compiled_loss
from trainkit.loss_scale import LossScale
from trainkit.precision import precision_context
from trainkit.ranks import Ranks
from trainkit.sharding import is_sharded_model


class Slope(NamedTuple):
    """Where a batch stands; still on the device, so that asking for a number is what waits."""

    loss: Tensor
    """Mean cross-entropy, nats a token that counts; of several ranks, this one's share of it."""
    grad_norm: Tensor
    """Of all gradients together, before clipping."""
    row_norms: Tensor
    """Of each row of each gradient, before clipping: optimkit's `gradient_row_norms`. They are what
    `grad_norm` is summed from, so that to keep them costs no pass over the gradients."""


class Stepper:
    """Computes gradients, and makes updates of them.

    Each of several ranks is given its rows of a batch; gradients, their norm and the update are
    those of the whole batch, and the same on all of them, bit for bit.

    Args:
        model: on the device of `execution`.
        optimizer: over the model's parameters.
        config: sizes, the clipping norm and the seed.
        execution: how it is computed.
        ranks: who computes; None: this process alone.

    Attributes:
        loss_scale: of fp16; None in any other precision.

    Raises:
        ValueError: a model that is divided among the ranks, and `execution.compile`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        config: TrainConfig,
        execution: Execution,
        ranks: Ranks | None = None,
    ) -> None:
        self._model, self._optimizer = model, optimizer
        self._config, self._execution = config, execution
        self._at_once = min(
            config.micro_batch_size, execution.sequences_at_once or config.micro_batch_size
        )
        self._ranks = ranks or Ranks()
        self.loss_scale = LossScale() if execution.precision == "fp16" else None
        is_divided = is_sharded_model(model)
        if is_divided and execution.compile:
            raise ValueError(
                "a model that is divided among ranks is not compiled: use compile=False, or leave"
                " it whole on every rank"
            )
        loss = compiled_loss(model) if execution.compile else batch_loss
        # The hooks of a divided model sum its gradients themselves, at every micro batch: waiting
        # for the last one would need room for a whole gradient on every rank.
        are_alike = self._ranks.are_many and not is_divided
        self._parallel = data_parallel(model, loss) if are_alike else None
        self._loss = self._parallel or partial(loss, model)
        self._has_settled = self._parallel is None

    def compute_gradients(self, batch: Batch, number: int) -> Slope:
        """Put the clipped gradient of the batch's mean loss into `.grad`; no weight moves.

        torch's global generator is seeded by `number`, so a model that draws (dropout) draws the
        same for the same batch; each rank draws its own.

        Args:
            batch: what to learn from; of several ranks, this one's rows.
            number: of the batch in the run, from 0 on.
        """
        loss = self.backward(batch, number)
        parameters = list(self._model.parameters())
        row_norms = gradient_row_norms(parameters)
        norm = clip_grad_norm_(parameters, self._config.max_grad_norm, row_norms=row_norms)
        return Slope(loss, norm, row_norms)

    def backward(self, batch: Batch, number: int) -> Tensor:
        """Like `compute_gradients`, unclipped; the mean loss, or this rank's share of it.

        It is computed a micro batch at a time. Each counts by its targets (`accumulation_weights`),
        so that what is learnt is the mean over those of the whole batch, however it is split.
        """
        if not self._has_settled:
            # DistributedDataParallel orders its buckets anew after its first backward pass, and
            # sums over ranks come out in another order, too: the first update of a process would
            # differ in its last bit from that of a process that never stopped. So it is done twice.
            self._has_settled = True
            self.backward(batch, number)
        _seed(_batch_seed(self._config.seed, number, self._ranks.rank), self._execution.device)
        self._optimizer.zero_grad(set_to_none=True)
        parts = batch.split(self._at_once)
        weights = self._weights(parts)
        total = torch.zeros((), device=self._execution.device)
        for part, weight in zip(parts, weights, strict=True):
            if self._parallel is None or part is parts[-1]:
                travelling = nullcontext()
            else:
                travelling = self._parallel.no_sync()  # gradients add up here first
            with travelling:
                total += self._backward_part(part, weight)
        if self.loss_scale is not None:
            self.loss_scale.unscale_(self._model.parameters())
        return total

    def _weights(self, parts: list[Batch]) -> list[float]:
        """What each of this rank's parts counts, of those of all ranks."""
        ranks, counts = self._ranks, [part.target_count for part in parts]
        # Without a mask every rank has as many targets, and nobody need be asked.
        all_counts = counts * ranks.size if parts[0].mask is None else ranks.gather(counts)
        return accumulation_weights(all_counts)[ranks.rank * len(parts) :][: len(parts)]

    def _backward_part(self, part: Batch, weight: float) -> Tensor:
        if weight == 0:  # the mean of no targets is NaN
            if not self._ranks.are_many:
                return torch.zeros((), device=self._execution.device)
            part = part._replace(mask=None)  # the other ranks wait for a gradient: 0
        with precision_context(self._execution.precision, self._execution.device):
            loss = weight * self._loss(
                part.inputs, part.targets, document_ids=part.document_ids, mask=part.mask
            )
            # The mean over ranks that torch takes, of a whole model or a divided one, is a sum.
            scale = 1.0 if self.loss_scale is None else self.loss_scale.value
            (self._ranks.size * scale * loss).backward()
        return loss.detach()

    def of_all_ranks(self, slope: Slope) -> Slope:
        """`slope` with the loss of the whole batch; here ranks hear of a signal to one of them."""
        if not self._ranks.are_many:
            return slope
        [loss] = self._ranks.sum([float(slope.loss)])
        return slope._replace(loss=torch.tensor(loss))

    def take_into_scale(self, slope: Slope) -> bool:
        """Let the scale of fp16 follow a slope of all ranks; False: no update can be made of it."""
        scale = self.loss_scale
        return scale is None or scale.take(float(slope.loss), float(slope.grad_norm))

    def apply(self, lr: float) -> None:
        """Let the optimizer go a step down the gradients, at learning rate `lr`.

        A group that has an `lr_scale` takes that share of it.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        self._optimizer.step()


def _seed(seed: int, device: str) -> None:
    """Seed torch's global generators, of the CPU and of `device`, as torch.manual_seed does."""
    # It would seed every kind of device, and formats the stack for each that is not in use: 240 us
    # an update, more than all else that the loop adds.
    torch.default_generator.manual_seed(seed)
    if (kind := torch.device(device).type) != "cpu":
        module = torch.get_device_module(kind)
        getattr(module, "manual_seed_all", module.manual_seed)(seed)


def _batch_seed(seed: int, number: int, rank: int) -> int:
    """A seed for what the model draws in one update: a pure function of the arguments."""
    # The first rank's is that of [seed, number]: SeedSequence fills up with zeros.
    return int(np.random.SeedSequence([seed, number, rank]).generate_state(1, np.uint64)[0])
