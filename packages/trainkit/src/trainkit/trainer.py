"""The training loop: batch, loss, gradients, update; and now and then a log, a test, a save."""

import warnings
from collections.abc import Iterable
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import NoReturn, cast

import torch
from nnparts import TransformerConfig
from torch import nn
from torch.optim import Optimizer

from trainkit.anomaly import AnomalyError, AnomalyWatch, find_anomaly, gradient_norms
from trainkit.batch import Batch, rank_rows
from trainkit.checkpoint_files import model_pattern
from trainkit.checkpoint_manager import CheckpointManager
from trainkit.clock import RunClock
from trainkit.config import TrainConfig
from trainkit.dataset import TokenDataset
from trainkit.disk_space import checkpoint_bytes, is_disk_full, require_space
from trainkit.ema import WeightAverage
from trainkit.evaluate import EvalResult, evaluate
from trainkit.execution import Execution
from trainkit.fit import check_fit
from trainkit.interrupt import deferred_interrupt, terminable
from trainkit.learning_rate import learning_rate
from trainkit.loggers import GuardedLogger, JsonlLogger, Logger, Metrics
from trainkit.metrics import cost_metrics, evaluation_metrics
from trainkit.mixture import Mixture
from trainkit.model_state import unwrap
from trainkit.optimizer import agree_on_precision, set_hyperparameters
from trainkit.prefetch import Prefetcher
from trainkit.progress import Progress
from trainkit.ranks import Ranks
from trainkit.run_lock import RunLock
from trainkit.sharding import is_sharded_model
from trainkit.step import Slope, Stepper


class Trainer:
    """Trains a language model, and loses nothing when it is stopped.

    The update that leads to step s (s = 1, 2, ..., max_steps) takes the batch of (seed, s - 1),
    the mean cross-entropy over it, the gradient clipped to `max_grad_norm`, and the learning rate
    `learning_rate(s)`, since that of s - 1 would leave the first one without effect. torch's global
    generator is seeded anew for each update, so a model that draws (dropout) resumes exactly, too.

    An anomaly (see `TrainConfig.on_anomaly`) is written to `anomalies/step-000123.json`: what is
    wrong, the batch, and each gradient's norm. Skipping and rolling back are part of the run: one
    that is killed and resumed does the same. A rollback also takes back the metrics since.

    `run_dir` gets `checkpoints/` (see `CheckpointManager`) and `metrics.jsonl`, a line for
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
        execution: how the steps are computed; None: on the CPU in fp32, not compiled.
        loggers: get every line of the metrics; one that fails costs a warning, not the run. Of
            several ranks, the first's.
        ranks: who trains, all with the same arguments; None: this process alone.

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
    ) -> None:
        self.model, self.optimizer, self.config = model, optimizer, config
        self.execution, self._ranks = execution or Execution(), ranks or Ranks()
        rank_rows(config.batch_size, self._ranks.rank, self._ranks.size)  # refused here, if at all
        self._is_divided = is_sharded_model(model)
        agree_on_precision(optimizer, self._ranks)
        self.train_data, self.valid_data = train_data, valid_data
        self.context_length = cast(TransformerConfig, unwrap(model).config).context_length
        self.run_dir = Path(run_dir)
        self.checkpoints = CheckpointManager(
            self.run_dir / "checkpoints",
            keep=config.keep_checkpoints,
            keep_every=config.keep_checkpoints_every,
            keep_best=config.keep_best_checkpoint,
            in_background=True,
            ranks=self._ranks if self._is_divided else None,
        )
        self.progress = Progress()
        decay = config.ema_decay
        self.average = None if decay is None else WeightAverage(model, decay)
        self._clock = RunClock()
        self._waited = 0.0
        self._seen_step = 0  # of the latest checkpoint when resumed, whether it was whole or not
        self._guests = [GuardedLogger(logger) for logger in loggers if self._ranks.is_first]
        self._watch = AnomalyWatch(config, self.run_dir / "anomalies")
        self._stepper = Stepper(model, optimizer, config, self.execution, self._ranks)
        self._is_updating = False
        self._retunes = False
        check_fit(model, train_data, valid_data, self.execution.device)

    def resume(self, *, fall_back: bool = False, retune: bool = False) -> int:
        """Go back to the latest checkpoint, or stay at the start where the run has none yet.

        Args:
            fall_back: whether to take the one before, with a warning, where the latest is damaged.
            retune: whether the optimizer, one of `make_optimizer`, then gets the hyperparameters
                of `config` instead of those that it was saved with, here and at each rollback.

        Returns:
            The step it stands at.

        Raises:
            ValueError: the checkpoint is of another model or optimizer, or damaged, or has no
                averaged weights while there is `ema_decay`.
        """
        self._retunes = retune
        if (latest := self.checkpoints.latest_step()) is not None:
            self._seen_step = latest
            state = self.checkpoints.load(self.model, self.optimizer, fall_back=fall_back)
            if retune:
                set_hyperparameters(self.optimizer, self.model, self.config)
            if self.average is not None:
                self._load_average(self.average, state.step)
            self.progress = Progress.from_dict({**state.extra, "step": state.step})
            self._clock = RunClock(state.extra["wall_seconds"], state.step)
        return self.step

    def _load_average(self, average: WeightAverage, step: int) -> None:
        try:
            pattern = model_pattern(average.model)
            average.load(self.checkpoints.load_more("ema", step, pattern))
        except FileNotFoundError as error:
            raise ValueError(
                f"the checkpoint of step {step} has no averaged weights; go on with ema_decay=None,"
                " as the run began, or begin a new one"
            ) from error

    def train(self) -> EvalResult:
        """Train from the current step to `max_steps`, or until `patience` has an end.

        Ctrl-C and SIGTERM save a checkpoint at the end of the update under way and are raised
        then, as KeyboardInterrupt and its kind `Terminated`; a second one is raised at once, and
        the last checkpoint stays the latest. Of several ranks, one that gets a signal stops all
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
        with self._ranks.stopped_together(), terminable(), ExitStack() as at_end:
            with self._ranks.first_goes_first():
                if self._ranks.is_first:
                    self._open(at_end)
            at_end.callback(self.checkpoints.wait)
            self._ranks.check_equal(self.step, self.model)
            if self.config.on_anomaly == "rollback" and self._ranks.from_first(self._is_unsaved):
                self._save()  # or there would be nothing to go back to
                self.checkpoints.wait()  # nor while it is on its way to the disk
            self._batches = self._prefetcher()
            at_end.callback(lambda: self._batches.close())
            try:
                result = self._train()
                with deferred_interrupt():  # the last checkpoint may still be on its way
                    self.checkpoints.wait()
                return result
            except KeyboardInterrupt:
                if not self._is_updating:
                    self._save()
                raise

    def _open(self, at_end: ExitStack) -> None:
        """Take hold of `run_dir`, and leave it as `at_end` closes."""
        at_end.enter_context(RunLock(self.run_dir))
        averaged = None if self.average is None else {"ema": self.average.tensors()}
        needed = checkpoint_bytes(self.model, self.optimizer, averaged)
        require_space(self.run_dir, needed)
        self._open_metrics()
        for logger in [self._metrics, *self._guests]:
            at_end.callback(logger.close)

    def _is_unsaved(self) -> bool:
        return self.checkpoints.latest_step() is None

    def _train(self) -> EvalResult:
        if (result := self._evaluate_if_due()) is not None:
            self._save_if_due()  # the run was stopped in it, and saved as not yet evaluated
        while not self._is_finished:
            with deferred_interrupt():
                batch = next(self._batches)
                if (slope := self._update(batch)) is not None:
                    self._log_if_due(slope, batch)
            result = self._evaluate_if_due()
            self._save_if_due()
            self._ranks.raise_if_stopped()
        return result or self.evaluate()

    @property
    def _is_finished(self) -> bool:
        patience = self.config.patience
        is_stale = patience is not None and self.progress.stale_evaluations >= patience
        return is_stale or self.step >= self.config.max_steps

    def _prefetcher(self) -> Prefetcher:
        """The batches that are still to come."""
        config, passed_over = self.config, self.progress.passed_over
        data, length, device = self.train_data, self.context_length, self.execution.device
        rank, size = self._ranks.rank, self._ranks.size

        def make(number: int) -> Batch:  # without self: a cycle would keep the files open for long
            return data.batch(
                config.seed, number, config.batch_size, length, device, rank=rank, world_size=size
            )

        return Prefetcher(
            make,
            start=self.progress.batch_number,
            stop=config.max_steps + passed_over,
            num_workers=config.num_workers,
        )

    def evaluate(self, *, whole: bool = False, stride: int | None = None) -> EvalResult:
        """Evaluate on the validation data, in the training precision; all ranks together.

        Args:
            whole: on all of it, whatever `eval_tokens` says.
            stride: from the start of a window to the next; see `trainkit.evaluate`.
        """
        return self._evaluate(self.model, whole=whole, stride=stride)

    def _evaluate(
        self, model: nn.Module, *, whole: bool = False, stride: int | None = None
    ) -> EvalResult:
        return evaluate(
            model,
            self.valid_data,
            context_length=self.context_length,
            batch_size=self.config.micro_batch_size,
            device=self.execution.device,
            max_tokens=None if whole else self.config.eval_tokens,
            stride=stride,
            precision=self.execution.precision,
            ranks=self._ranks,
        )

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

    def _update(self, batch: Batch) -> Slope | None:
        """Learn from one batch; `step` then counts it. None: it was not learnt from."""
        self._is_updating = True
        slope = self._stepper.compute_gradients(batch, self.progress.batch_number)
        problem = None
        if self.config.reads_each_loss:
            slope = self._of_all(slope)
            problem = self._watch.judge(slope, self.progress)
        if problem is None:
            self._stepper.apply(self._lr(self.step + 1))
            self.progress.step += 1
            if self.average is not None:
                self.average.update(self.model, self.step)
        else:
            self._treat(problem, slope, batch)
        self._is_updating = False
        return slope if problem is None else None

    def _of_all(self, slope: Slope) -> Slope:
        """`slope` with the loss of the whole batch; here ranks hear of a signal to one of them."""
        if not self._ranks.are_many:
            return slope
        [loss] = self._ranks.sum([float(slope.loss)])
        return slope._replace(loss=torch.tensor(loss))

    def _lr(self, step: int) -> float:
        return learning_rate(step, self.config)

    def _treat(self, problem: str, slope: Slope, batch: Batch) -> None:
        """Stop, skip or roll back, as configured; no weight has moved yet."""
        progress, config = self.progress, self.config
        self._stepper.backward(batch, progress.batch_number)  # the norms as before clipping
        problem = self._record(problem, slope, batch, self.step + 1, progress.batch_number)
        before = progress.rollbacks if config.on_anomaly == "rollback" else progress.skips_in_a_row
        if config.on_anomaly == "stop" or before >= config.max_anomalies:
            self._stop(problem)
        if self._ranks.is_first:
            warnings.warn(f"{problem}: {config.on_anomaly}", RuntimeWarning, stacklevel=2)
        if config.on_anomaly == "skip":
            progress.step += 1
            progress.skipped_steps += 1
            progress.skips_in_a_row += 1
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        """Go back to the last checkpoint, but not in the data.

        Nothing has to be saved for that: a run killed before its next checkpoint comes to the same
        anomaly again, and does the same.
        """
        next_batch, rollbacks = self.progress.batch_number + 1, self.progress.rollbacks + 1
        wall_seconds = self._clock.wall_seconds
        self._wait_for_checkpoint()  # the latest may still be on its way to the disk
        self._ranks.wait()
        self.resume(retune=self._retunes)
        self._clock = RunClock(wall_seconds, self.step)
        self.progress.rollbacks, self.progress.passed_over = rollbacks, next_batch - self.step
        if self._ranks.is_first:
            self._metrics.rewind(self.step)
        self._batches.close()
        self._batches, self._waited = self._prefetcher(), 0.0

    def _stop(self, problem: str) -> NoReturn:
        raise AnomalyError(
            f"{problem}; resume from step {self.checkpoints.latest_step() or 0} with a lower "
            "max_lr, a longer warmup_steps, precision 'fp32', or on_anomaly 'skip' or 'rollback'"
        )

    def _log_if_due(self, slope: Slope, batch: Batch) -> None:
        is_log_due = self._is_due(self.config.log_every) or self.step == 1
        if not (is_log_due or self._is_due(self.config.checkpoint_every)):
            return
        if not self.config.reads_each_loss:
            slope = self._of_all(slope)
        self._check_finite(slope, batch)  # before a checkpoint, too: a bad one helps nobody
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
        lap, wait_seconds = self._clock.lap(self.step), self._batches.wait_seconds
        waited, self._waited = wait_seconds - self._waited, wait_seconds
        return cost_metrics(
            lap,
            waited,
            tokens_per_step=self._tokens_per_step,
            shape=cast(TransformerConfig, unwrap(self.model).config),
            execution=self.execution,
            num_ranks=self._ranks.size,
        )

    def _evaluate_if_due(self) -> EvalResult | None:
        """Evaluate and log, once a step: a run stopped while evaluating does it when resumed."""
        if not self._is_due(self.config.eval_every) or self.progress.evaluated_step == self.step:
            return None
        with self._clock.pause():
            result = self.evaluate()
            metrics = evaluation_metrics("valid", result)
            if self.average is not None:
                averaged = self._evaluate(self.average.model)
                metrics |= evaluation_metrics("valid_ema", averaged)
        with deferred_interrupt(), self._clock.pause():
            self._log(metrics)  # where loggers draw and write samples
            self.progress.note_evaluation(result.loss)
        return result

    def _save_if_due(self) -> None:
        if not self.checkpoints.is_saving:
            self._wait_for_checkpoint()  # only to hear how it went, and not as late as the next one
        if self._is_due(self.config.checkpoint_every) or self._is_finished:
            with self._clock.pause():
                self._save()

    def _wait_for_checkpoint(self) -> None:
        """Wait for the one under way; where it does not fit, `on_disk_full` says what then."""
        try:
            self.checkpoints.wait()
        except OSError as error:
            if self.config.on_disk_full == "stop" or not is_disk_full(error):
                raise
            if not self._ranks.is_first:
                return
            warnings.warn(
                f"no checkpoint was saved: {error}. Training goes on at step {self.step:,} and will"
                f" try the next one; checkpoints are there of steps {self.checkpoints.steps()}",
                RuntimeWarning,
                stacklevel=2,
            )

    def _save(self) -> None:
        self._ranks.check_equal(self.step, self.model)
        if not (self._ranks.is_first or self._is_divided):
            return
        self._wait_for_checkpoint()
        if self._ranks.is_first:
            self._metrics.sync()  # a checkpoint promises that the lines up to it are there
        progress, average = self.progress, self.average
        self.checkpoints.save(
            self.step,
            self.model,
            self.optimizer,
            {**progress.to_dict(), "wall_seconds": self._clock.wall_seconds},
            metric=progress.valid_loss if progress.evaluated_step == self.step else None,
            more=None if average is None else {"ema": average.tensors()},
        )

    def _is_due(self, every: int) -> bool:
        return self.step > 0 and (self.step % every == 0 or self.step == self.config.max_steps)

    def _log(self, metrics: Metrics) -> None:
        if not self._ranks.is_first:
            return
        counts = {"tokens": self.tokens, "wall_seconds": self._clock.wall_seconds}
        for logger in [self._metrics, *self._guests]:
            logger.log(self.step, {**metrics, **counts})

    def _open_metrics(self) -> None:
        """Open `metrics.jsonl`, without what a killed process wrote past its last checkpoint."""
        latest = self.checkpoints.latest_step() or 0
        if latest > max(self.step, self._seen_step):
            raise ValueError(
                f"{self.run_dir} holds a run that is at step {latest}, this one is at {self.step}; "
                "call resume() first, or choose another run_dir"
            )
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self._metrics = JsonlLogger(self.run_dir / "metrics.jsonl")
        self._metrics.rewind(self.step)

    def _check_finite(self, slope: Slope, batch: Batch) -> None:
        """Stop where nobody has looked before, so that what is found has been learnt already."""
        problem = find_anomaly(float(slope.loss), float(slope.grad_norm))
        if problem is not None:
            number = self.progress.batch_number - 1
            self._stop(self._record(problem, slope, batch, self.step, number))

    def _record(
        self, problem: str, slope: Slope, batch: Batch, step: int, batch_number: int
    ) -> str:
        """Save an anomaly and its whole batch; a sentence that says where."""
        norms = gradient_norms(self.model)  # by all: each may have a part of every gradient
        if not self._ranks.is_first:
            return f"at step {step} {problem}"
        if self._ranks.are_many:
            batch = self.train_data.batch(
                self.config.seed, batch_number, self.config.batch_size, self.context_length, "cpu"
            )
        return self._watch.record(
            problem,
            slope,
            batch,
            self.progress,
            gradient_norms=norms,
            step=step,
            batch_number=batch_number,
        )
