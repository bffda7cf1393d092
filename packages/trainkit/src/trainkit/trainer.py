"""The training loop: batch, loss, gradients, update; and now and then a log, a test, a save."""

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import cast

from nnparts import TransformerConfig
from torch import nn
from torch.optim import Optimizer

from trainkit.anomaly_response import AnomalyResponse
from trainkit.batch import Batch, rank_rows
from trainkit.config import TrainConfig
from trainkit.dataset import TokenDataset
from trainkit.evaluate import EvalResult, evaluate
from trainkit.execution import Execution
from trainkit.fit import at_model, check_fit
from trainkit.interrupt import deferred_interrupt, terminable
from trainkit.learning_rate import learning_rate
from trainkit.loggers import Journal, Logger, Metrics
from trainkit.metrics import cost_metrics, evaluation_metrics
from trainkit.mixture import Mixture
from trainkit.model_state import unwrap
from trainkit.optimizer import agree_on_precision
from trainkit.prefetch import Prefetcher
from trainkit.progress import Progress
from trainkit.ranks import Ranks
from trainkit.run_lock import RunLock
from trainkit.run_state import RunState
from trainkit.saver import Saver
from trainkit.step import Slope, Stepper


class Trainer:
    """Trains a language model, and loses nothing when it is stopped.

    The update that leads to step s (s = 1, 2, ..., max_steps) takes the batch of (seed, s - 1),
    the mean cross-entropy over it, the gradient clipped to `max_grad_norm`, and the learning rate
    `learning_rate(s)`, since that of s - 1 would leave the first one without effect. torch's global
    generator is seeded anew for each update, so a model that draws (dropout) resumes exactly, too.

    An anomaly (see `TrainConfig.on_anomaly`) is written to `anomalies/step-000123.json`: the `step`
    whose loss or gradient was the first that is not finite, or whose loss is a spike, what the
    `problem` is, its `loss` and `grad_norm`, the `gradient_norms` of all parameters (as they were
    before clipping, so that those that are finite are told from those that are not), the
    `batch_number` in the order of the data and the `batch` with the rows of all ranks, the `seed`,
    and the `recent_losses` that a spike was measured by. Where "stop" reads no loss, each step is
    judged all the same, on its device and without waiting, and the first bad one is kept there
    until a line of the metrics, an evaluation or a checkpoint is due: the record is of that step,
    though some more were made since. Skipping and rolling back are part of the run: one that is
    killed and resumed does the same. A rollback also takes back the metrics since. In fp16 an
    update whose gradient overflowed is left out and the loss scaled by half from then on (see
    `LossScale`): it counts as a step that is skipped, and as no anomaly.

    `run_dir` gets `checkpoints/` (see `CheckpointManager`) and `metrics.jsonl` (see `JsonlLogger`),
    null for what is not finite, a line for
    - the first, each `log_every`-th and the last step: `loss` (nats a token, of that step's
      batch), `lr`, `grad_norm` (before clipping), `tokens_per_second` (since the line before,
      without evaluating and saving), `data_wait_share` (of that time, spent waiting for batches),
      `peak_memory_bytes` (of the process so far; of the GPU's where it is on one), `mfu` (model
      FLOPs utilization, where `Execution.peak_flops` is given), `tokens` (learnt from so far) and
      `wall_seconds`; a step that is skipped has no line;
    - each `eval_every`-th and the last step: `valid_loss` (nats a token), `valid_bits_per_byte`
      (where the data knows its bytes), both of the averaged weights, too, as `valid_ema_...`
      (where there is `ema_decay`), `tokens` and `wall_seconds`.

    A run that was killed and resumed gives the same weights, optimizer state and metrics, times
    aside, bit for bit (same machine, same number of threads and of ranks).

    Several `ranks` train one model: each computes its rows of the same batches and its part of an
    evaluation, and makes the same update, whatever their number. The first writes and logs for all.
    Where `shard_model` has divided the model, each makes the update of its part and writes that to
    the checkpoints.

    Args:
        model: on the device of `execution`; a `TransformerLM`, or anything with its `config` and
            call.
        optimizer: over the model's parameters; its learning rates are set at each update.
        train_data: at least `context_length + 1` tokens.
        valid_data: at least 2 tokens.
        config: how to train.
        run_dir: the run's directory, made if need be.
        execution: how the steps are computed; None: on the CPU in fp32, not compiled. A `device`
            without a number is the model's.
        loggers: get every line of the metrics; one that fails costs a warning, not the run. Of
            several ranks, the first's.
        ranks: who trains, all with the same arguments; None: this process alone.
        is_locked: whether the caller holds `RunLock(run_dir)` and goes on holding it, for what it
            writes there itself; else `train` takes it.

    Attributes:
        progress: how far the run has come.
        average: the averaged weights; None where there is no `ema_decay`.
        checkpoints: the run's `CheckpointManager`.

    Raises:
        ValueError: model, data, config and number of ranks do not fit together.
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
        ranks: Ranks | None = None,
        is_locked: bool = False,
    ) -> None:
        self.model, self.optimizer, self.config = model, optimizer, config
        self._ranks, self._is_locked = ranks or Ranks(), is_locked
        rank_rows(config.batch_size, self._ranks.rank, self._ranks.size)  # refused here, if at all
        self.execution = at_model(execution or Execution(), model)
        agree_on_precision(optimizer, self._ranks)
        self.train_data, self.valid_data = train_data, valid_data
        self.context_length = cast(TransformerConfig, unwrap(model).config).context_length
        self.run_dir = Path(run_dir)
        self._stepper = Stepper(model, optimizer, config, self.execution, self._ranks)
        loss_scale = self._stepper.loss_scale
        state = self._state = RunState(model, optimizer, config.ema_decay, loss_scale)
        guests = loggers if self._ranks.is_first else ()
        self._journal = Journal(self.run_dir / "metrics.jsonl", guests)
        self._saver = Saver(state, self._journal, self.run_dir / "checkpoints", config, self._ranks)
        self.checkpoints, self.average = self._saver.checkpoints, state.average
        # Not a method of this object: a cycle would keep the files open for long.
        self._make_batch = partial(
            train_data.batch,
            config.seed,
            batch_size=config.batch_size,
            context_length=self.context_length,
        )
        self._anomalies = AnomalyResponse(
            state,
            self._stepper,
            self._saver,
            partial(self._make_batch, device="cpu"),
            self.run_dir / "anomalies",
            config,
            self._ranks,
        )
        # What fp16 leaves out must be known before the update, as an anomaly that is not to stop.
        self._reads_each_loss = config.reads_each_loss or loss_scale is not None
        self._is_updating = False
        self._kept_signals: list[int] = []  # not empty where a second one has ended the wait
        check_fit(model, train_data, valid_data)

    @property
    def progress(self) -> Progress:
        """How far the run has come."""
        return self._state.progress

    @property
    def step(self) -> int:
        """Updates done."""
        return self.progress.step

    @property
    def tokens(self) -> int:
        """Tokens learnt from so far, each counted as often as it came."""
        return (self.step - self.progress.skipped_steps) * self._tokens_per_step

    @property
    def _tokens_per_step(self) -> int:
        return self.config.batch_size * self.context_length

    def resume(self, *, fall_back: bool = False, retune: bool = False) -> int:
        """Go back to the latest checkpoint, or stay at the start where the run has none yet.

        Args:
            fall_back: whether to take the newest that is whole, with a warning, where the latest is
                damaged, here and at each rollback.
            retune: whether the optimizer, one of `make_optimizer`, then gets the hyperparameters
                of `config` instead of those that it was saved with, here and at each rollback.

        Returns:
            The step it stands at.

        Raises:
            ValueError: the checkpoint is of another model or optimizer, or damaged, or has no
                averaged weights while there is `ema_decay`.
        """
        self._saver.resume(fall_back=fall_back, retune=retune)
        self._anomalies.forget()
        return self.step

    def train(self) -> EvalResult:
        """Train from the current step to `max_steps`, or until `patience` has an end.

        Ctrl-C and SIGTERM save a checkpoint at the end of the update under way and are raised
        then, as KeyboardInterrupt and its kind `Terminated`; a second one is raised at once, and
        neither it nor the end of the process waits for a checkpoint that is being written: the
        last one that is whole stays the latest. Of several ranks, one that gets a signal stops all
        when next a loss is read: at a line of the metrics, or a checkpoint.

        Returns:
            The evaluation after the last step.

        Raises:
            ValueError: `run_dir` holds a run that has gone further; `resume` it.
            BlockingIOError: another process trains in `run_dir`.
            AnomalyError: loss or gradient is not finite, or a spike, and `on_anomaly` is "stop" or
                there were `max_anomalies` already.
            OSError: the disk is full and `on_disk_full` is "stop", or the last checkpoint or a line
                of the metrics does not fit; the checkpoints before are whole, and so is each line.
        """
        self.model.train()
        self._kept_signals = []
        with self._ranks.stopped_together(), terminable(), ExitStack() as at_end:
            with self._ranks.first_goes_first():
                if self._ranks.is_first:
                    self._open(at_end)
            at_end.push(self._end_saving)
            self._ranks.check_equal(self.step, self.model)
            if self.config.on_anomaly == "rollback" and self._ranks.from_first(self._is_unsaved):
                self._saver.save()  # or there would be nothing to go back to
                self.checkpoints.wait()  # nor while it is on its way to the disk
            self._batches = self._prefetcher()
            at_end.callback(lambda: self._batches.close())
            try:
                result = self._train()
                with deferred_interrupt() as self._kept_signals:
                    self.checkpoints.wait()  # the last one may still be on its way
                return result
            except KeyboardInterrupt:
                if not (self._is_updating or self._kept_signals):
                    self._anomalies.check()  # or what is saved could be of no use
                    self._saver.save()
                    self.checkpoints.wait()
                raise

    def _open(self, at_end: ExitStack) -> None:
        """Take hold of `run_dir`, and leave it as `at_end` closes."""
        if not self._is_locked:
            at_end.enter_context(RunLock(self.run_dir))
        self._saver.check_can_begin()
        self._journal.open(self.step)
        at_end.callback(self._journal.close)

    def _end_saving(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Lose nothing of what is being saved, but for who has waited already or is in haste."""
        if isinstance(error, KeyboardInterrupt):
            self.checkpoints.abandon()
        else:
            self.checkpoints.wait()

    def _is_unsaved(self) -> bool:
        return self._saver.latest_step() is None

    def _prefetcher(self) -> Prefetcher:
        """The batches that are still to come."""
        ranks = self._ranks
        return Prefetcher(
            partial(
                self._make_batch,
                device=self.execution.device,
                rank=ranks.rank,
                world_size=ranks.size,
            ),
            start=self.progress.batch_number,
            stop=self.config.max_steps + self.progress.passed_over,
            num_workers=self.config.num_workers,
        )

    def _train(self) -> EvalResult:
        if (result := self._evaluate_if_due()) is not None:
            self._save_if_due()  # the run was stopped in it, and saved as not yet evaluated
        while not self._is_finished:
            with deferred_interrupt() as self._kept_signals:
                batch = next(self._batches)
                if (slope := self._update(batch)) is not None:
                    self._log_if_due(slope)
            result = self._evaluate_if_due()
            self._save_if_due()
            self._ranks.raise_if_stopped()
        return result or self.evaluate()

    @property
    def _is_finished(self) -> bool:
        patience = self.config.patience
        is_stale = patience is not None and self.progress.stale_evaluations >= patience
        return is_stale or self.step >= self.config.max_steps

    def _update(self, batch: Batch) -> Slope | None:
        """Learn from one batch; `step` then counts it. None: it was not learnt from."""
        self._is_updating = True
        slope = self._stepper.compute_gradients(batch, self.progress.batch_number)
        problem, fits = None, True
        if self._reads_each_loss:
            slope = self._stepper.of_all_ranks(slope)
            if fits := self._stepper.take_into_scale(slope):
                problem = self._anomalies.judge(slope)
        else:
            self._anomalies.note(slope)
        if not fits:
            self.progress.step += 1
            self.progress.skipped_steps += 1
        elif problem is None:
            self._stepper.apply(self._lr(self.step + 1))
            self.progress.step += 1
            if self.average is not None:
                self.average.update(self.model, self.step)
        else:
            self._treat(problem, slope)
        self._is_updating = False
        return slope if fits and problem is None else None

    def _lr(self, step: int) -> float:
        return learning_rate(step, self.config)

    def _treat(self, problem: str, slope: Slope) -> None:
        self._anomalies.treat(problem, slope)
        if self.config.on_anomaly == "rollback":  # those made ahead are of steps long gone
            self._batches.close()
            self._batches = self._prefetcher()

    def _log_if_due(self, slope: Slope) -> None:
        is_log_due = self._is_due(self.config.log_every) or self.step == 1
        others = self.config.checkpoint_every, self.config.eval_every
        if not (is_log_due or any(map(self._is_due, others))):
            return
        if not self._reads_each_loss:
            # Before a checkpoint, too: a bad one is of no use. And before an evaluation, nor is it.
            self._anomalies.check()
            slope = self._stepper.of_all_ranks(slope)
            self._anomalies.check_last(slope)
        if is_log_due:
            self._log(
                {
                    "loss": float(slope.loss),
                    "lr": self._lr(self.step),
                    "grad_norm": float(slope.grad_norm),
                    **self._costs(),
                }
            )

    def _costs(self) -> dict[str, float]:
        """What the updates since the last call took."""
        waited, self._batches.wait_seconds = self._batches.wait_seconds, 0.0
        return cost_metrics(
            self._state.clock.lap(self.step),
            waited,
            tokens_per_step=self._tokens_per_step,
            shape=cast(TransformerConfig, unwrap(self.model).config),
            execution=self.execution,
            num_ranks=self._ranks.size,
        )

    def _log(self, metrics: Metrics) -> None:
        if self._ranks.is_first:
            counts = {"tokens": self.tokens, "wall_seconds": self._state.clock.wall_seconds}
            self._journal.log(self.step, {**metrics, **counts})

    def _evaluate_if_due(self) -> EvalResult | None:
        """Evaluate and log, once a step: a run stopped while evaluating does it when resumed."""
        if not self._is_due(self.config.eval_every) or self.progress.evaluated_step == self.step:
            return None
        with self._state.clock.pause():
            result = self.evaluate()
            metrics = evaluation_metrics("valid", result)
            if self.average is not None:
                metrics |= evaluation_metrics("valid_ema", self.evaluate(averaged=True))
        with deferred_interrupt() as self._kept_signals, self._state.clock.pause():
            self._log(metrics)  # where loggers draw and write samples
            self.progress.note_evaluation(result.loss)
        return result

    def evaluate(
        self, *, whole: bool = False, stride: int | None = None, averaged: bool = False
    ) -> EvalResult:
        """Evaluate on the validation data, in the training precision; all ranks together.

        Args:
            whole: on all of it, whatever `eval_tokens` says.
            stride: from the start of a window to the next; see `trainkit.evaluate`.
            averaged: with the averaged weights, where there are some.
        """
        return evaluate(
            self.average.model if averaged and self.average is not None else self.model,
            self.valid_data,
            context_length=self.context_length,
            batch_size=self.config.micro_batch_size,
            device=self.execution.device,
            max_tokens=None if whole else self.config.eval_tokens,
            stride=stride,
            precision=self.execution.precision,
            ranks=self._ranks,
        )

    def _save_if_due(self) -> None:
        self._saver.hear()
        if self._is_due(self.config.checkpoint_every) or self._is_finished:
            with self._state.clock.pause():
                self._saver.save()

    def _is_due(self, every: int) -> bool:
        return self.step > 0 and (self.step % every == 0 or self.step == self.config.max_steps)
