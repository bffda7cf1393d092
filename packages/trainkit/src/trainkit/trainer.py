"""The training loop: batch, loss, gradients, update; and now and then a log, a test, a save."""

import math
from collections.abc import Iterable
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from nnparts import TransformerConfig
from optimkit import clip_grad_norm_, cosine_schedule
from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.batch import Batch
from trainkit.checkpoint_manager import CheckpointManager
from trainkit.clock import RunClock
from trainkit.config import TrainConfig
from trainkit.dataset import TokenDataset
from trainkit.disk_space import checkpoint_bytes, require_space
from trainkit.evaluate import EvalResult, evaluate
from trainkit.execution import Execution
from trainkit.fit import check_fit
from trainkit.interrupt import deferred_interrupt, terminable
from trainkit.loggers import GuardedLogger, JsonlLogger, Logger, Metrics
from trainkit.loss import batch_loss
from trainkit.mixture import Mixture
from trainkit.model_state import unwrap
from trainkit.precision import precision_context
from trainkit.prefetch import Prefetcher
from trainkit.run_lock import RunLock


class _Update(NamedTuple):
    """One update: still on the device, so that asking for it is what waits."""

    loss: Tensor
    grad_norm: Tensor
    lr: float


class Trainer:
    """Trains a language model, and loses nothing when it is stopped.

    The update that leads to step s (s = 1, 2, ..., max_steps) takes the random batch of
    (seed, s - 1), the mean cross-entropy over it, the gradient clipped to `max_grad_norm`, and the
    learning rate `cosine_schedule(s)`, since that of s - 1 would leave the first one without
    effect. torch's global generator is seeded anew for each update, so a model that draws
    (dropout) resumes exactly, too.

    `run_dir` gets `checkpoints/` (see `CheckpointManager`) and `metrics.jsonl`, a line for
    - the first, each `log_every`-th and the last step: `loss` (nats a token, of that step's
      batch), `lr`, `grad_norm` (before clipping), `tokens_per_second` (since the line before,
      without evaluating and saving), `data_wait_share` (of that time, spent waiting for batches),
      `tokens` (learnt from so far) and `wall_seconds`;
    - each `eval_every`-th and the last step: `valid_loss` (nats a token), `valid_bits_per_byte`
      (where the data knows its bytes), `tokens` and `wall_seconds`.

    A run that was killed and resumed gives the same weights, optimizer state and metrics, times
    aside, bit for bit (same machine, same number of threads).

    Args:
        model: on the device of `execution`; a `TransformerLM`, or anything with its `config` and
            call.
        optimizer: over the model's parameters; its learning rates are set at each update.
        train_data: at least `context_length + 1` tokens.
        valid_data: at least 2 tokens.
        config: how to train.
        run_dir: the run's directory, made if need be.
        execution: how the steps are computed; None: on the CPU in fp32, not compiled.
        loggers: get every line of the metrics; one that fails costs a warning, not the run.

    Attributes:
        step: updates done.
        checkpoints: the run's `CheckpointManager`.

    Raises:
        ValueError: model, data and config do not fit together.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        train_data: TokenDataset | Mixture,
        valid_data: TokenDataset,
        config: TrainConfig,
        *,
        run_dir: str | PathLike[str],
        execution: Execution | None = None,
        loggers: Iterable[Logger] = (),
    ) -> None:
        self.model, self.optimizer, self.config = model, optimizer, config
        self.execution = execution or Execution()
        self.train_data, self.valid_data = train_data, valid_data
        self.context_length = cast(TransformerConfig, unwrap(model).config).context_length
        self.run_dir = Path(run_dir)
        self.checkpoints = CheckpointManager(
            self.run_dir / "checkpoints",
            keep=config.keep_checkpoints,
            keep_every=config.keep_checkpoints_every,
            keep_best=config.keep_best_checkpoint,
            in_background=True,
        )
        self.step = 0
        self._evaluated_step = 0
        self._valid_loss: float | None = None
        self._clock = RunClock()
        self._waited = 0.0
        self._guests = [GuardedLogger(logger) for logger in loggers]
        self._batch_loss = torch.compile(batch_loss) if self.execution.compile else batch_loss
        self._is_updating = False
        check_fit(model, train_data, valid_data, self.execution.device)

    def resume(self, *, fall_back: bool = False) -> int:
        """Go back to the latest checkpoint, or stay at the start where the run has none yet.

        Args:
            fall_back: whether to take the one before, with a warning, where the latest is damaged.

        Returns:
            The step it stands at.

        Raises:
            ValueError: the checkpoint is of another model or optimizer, or damaged.
        """
        if self.checkpoints.latest_step() is not None:
            state = self.checkpoints.load(self.model, self.optimizer, fall_back=fall_back)
            self.step, self._evaluated_step = state.step, state.extra["evaluated_step"]
            self._clock = RunClock(state.extra["wall_seconds"], state.step)
        return self.step

    def train(self) -> EvalResult:
        """Train from the current step to `max_steps`.

        Ctrl-C and SIGTERM save a checkpoint at the end of the update under way and are raised
        then, as KeyboardInterrupt and its kind `Terminated`; a second one is raised at once, and
        the last checkpoint stays the latest.

        Returns:
            The evaluation after the last step.

        Raises:
            ValueError: `run_dir` holds a run that has gone further; `resume` it.
            BlockingIOError: another process trains in `run_dir`.
            FloatingPointError: loss or gradient is not finite, noticed when it is logged.
            OSError: the disk is full; the checkpoints before are whole.
        """
        self.model.train()
        with RunLock(self.run_dir), terminable(), ExitStack() as at_end:
            require_space(self.run_dir, checkpoint_bytes(self.model, self.optimizer))
            self._open_metrics()
            for logger in [self._metrics, *self._guests]:
                at_end.callback(logger.close)
            at_end.callback(self.checkpoints.wait)
            batches = at_end.enter_context(self._prefetcher())
            try:
                return self._train(batches)
            except KeyboardInterrupt:
                if not self._is_updating:
                    self._save()
                raise

    def _train(self, batches: Prefetcher) -> EvalResult:
        result = self._evaluate_if_due()
        while self.step < self.config.max_steps:
            with deferred_interrupt():
                self._log_if_due(self._update(next(batches)), batches.wait_seconds)
            result = self._evaluate_if_due()
            self._save_if_due()
        return result or self.evaluate()

    def _prefetcher(self) -> Prefetcher:
        """The batches that are still to come."""
        config = self.config

        def make(step: int) -> Batch:
            return self.train_data.batch(
                config.seed, step, config.batch_size, self.context_length, self.execution.device
            )

        return Prefetcher(
            make, start=self.step, stop=config.max_steps, num_workers=config.num_workers
        )

    def evaluate(self, *, whole: bool = False, stride: int | None = None) -> EvalResult:
        """Evaluate on the validation data, in the training precision.

        Args:
            whole: on all of it, whatever `eval_tokens` says.
            stride: from the start of a window to the next; see `trainkit.evaluate`.
        """
        return evaluate(
            self.model,
            self.valid_data,
            context_length=self.context_length,
            batch_size=self.config.micro_batch_size,
            device=self.execution.device,
            max_tokens=None if whole else self.config.eval_tokens,
            stride=stride,
            precision=self.execution.precision,
        )

    @property
    def tokens(self) -> int:
        """Tokens learnt from so far, each counted as often as it came."""
        return self.step * self._tokens_per_step

    @property
    def _tokens_per_step(self) -> int:
        return self.config.batch_size * self.context_length

    def _update(self, batch: Batch) -> _Update:
        """Learn from one batch; `step` then counts it."""
        self._is_updating = True
        config = self.config
        torch.manual_seed(_step_seed(config.seed, self.step))
        lr = cosine_schedule(
            self.step + 1,
            max_lr=config.max_lr,
            min_lr=config.min_lr,
            warmup_steps=config.schedule_warmup_steps,
            decay_steps=config.schedule_steps,
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._backward(batch)
        grad_norm = clip_grad_norm_(self.model.parameters(), config.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.step += 1
        self._is_updating = False
        return _Update(loss, grad_norm, lr)

    def _backward(self, batch: Batch) -> Tensor:
        """Add the gradient of the mean loss over one batch, a micro batch at a time."""
        config = self.config
        ids = batch.inputs, batch.targets
        micro_batches = zip(*(part.split(config.micro_batch_size) for part in ids), strict=True)
        total = torch.zeros((), device=self.execution.device)
        for inputs, targets in micro_batches:
            with precision_context(self.execution.precision, self.execution.device):
                loss = self._batch_loss(self.model, inputs, targets)
                # All micro batches are of one size, so the mean of their means is the batch's.
                loss = loss / config.gradient_accumulation_steps
                loss.backward()
            total += loss.detach()
        return total

    def _log_if_due(self, update: _Update, wait_seconds: float) -> None:
        is_log_due = self._is_due(self.config.log_every) or self.step == 1
        if not (is_log_due or self._is_due(self.config.checkpoint_every)):
            return
        loss, grad_norm = float(update.loss), float(update.grad_norm)
        self._check_finite(loss, grad_norm)  # before a checkpoint, too: a bad one helps nobody
        if is_log_due:
            lap = self._clock.lap(self.step)
            waited, self._waited = wait_seconds - self._waited, wait_seconds
            self._log(
                {
                    "loss": loss,
                    "lr": update.lr,
                    "grad_norm": grad_norm,
                    "tokens_per_second": lap.steps * self._tokens_per_step / lap.seconds,
                    "data_wait_share": waited / lap.seconds,
                }
            )

    def _evaluate_if_due(self) -> EvalResult | None:
        """Evaluate and log, once a step: a run stopped while evaluating does it when resumed."""
        if not self._is_due(self.config.eval_every) or self._evaluated_step == self.step:
            return None
        with self._clock.pause():
            result = self.evaluate()
        metrics = {"valid_loss": result.loss}
        if result.bits_per_byte is not None:
            metrics["valid_bits_per_byte"] = result.bits_per_byte
        with deferred_interrupt():
            self._log(metrics)
            self._evaluated_step, self._valid_loss = self.step, result.loss
        return result

    def _save_if_due(self) -> None:
        if self._is_due(self.config.checkpoint_every):
            with self._clock.pause():
                self._save()

    def _save(self) -> None:
        self._metrics.sync()  # a checkpoint promises that the lines up to it are there
        extra = {"evaluated_step": self._evaluated_step, "wall_seconds": self._clock.wall_seconds}
        metric = self._valid_loss if self._evaluated_step == self.step else None
        self.checkpoints.save(self.step, self.model, self.optimizer, extra, metric=metric)

    def _is_due(self, every: int) -> bool:
        return self.step > 0 and (self.step % every == 0 or self.step == self.config.max_steps)

    def _log(self, metrics: Metrics) -> None:
        counts = {"tokens": self.tokens, "wall_seconds": self._clock.wall_seconds}
        for logger in [self._metrics, *self._guests]:
            logger.log(self.step, {**metrics, **counts})

    def _open_metrics(self) -> None:
        """Open `metrics.jsonl`, without what a killed process wrote past its last checkpoint."""
        latest = self.checkpoints.latest_step() or 0
        if latest > self.step:
            raise ValueError(
                f"{self.run_dir} holds a run that is at step {latest}, this one is at {self.step}; "
                "call resume() first, or choose another run_dir"
            )
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self._metrics = JsonlLogger(self.run_dir / "metrics.jsonl")
        self._metrics.rewind(self.step)

    def _check_finite(self, loss: float, grad_norm: float) -> None:
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise FloatingPointError(
                f"at step {self.step} the loss is {loss} and the gradient's norm {grad_norm}; "
                f"resume from step {self.checkpoints.latest_step() or 0} with a lower max_lr, a "
                "longer warmup_steps, or precision 'fp32'"
            )


def _step_seed(seed: int, step: int) -> int:
    """A seed for what the model draws in one update: a pure function of (seed, step)."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
