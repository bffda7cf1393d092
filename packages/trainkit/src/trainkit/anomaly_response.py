"""What a run does about its anomalies."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from trainkit.anomaly import AnomalyError, AnomalyWatch, find_anomaly, gradient_norms
from trainkit.batch import Batch
from trainkit.config import TrainConfig
from trainkit.ranks import Ranks
from trainkit.run_state import RunState
from trainkit.saver import Saver
from trainkit.step import Slope, Stepper


class AnomalyResponse:
    """Finds anomalies, writes them down, and stops, skips or rolls back, as configured.

    Args:
        state: of the run.
        stepper: what computes its gradients.
        saver: what brings back its checkpoints.
        whole_batch: gives the batch of a number with the rows of all ranks.
        directory: where records go, made if need be.
        config: what an anomaly is, and what to do about it.
        ranks: who trains; the first alone writes.
    """

    def __init__(
        self,
        state: RunState,
        stepper: Stepper,
        saver: Saver,
        whole_batch: Callable[[int], Batch],
        directory: Path,
        config: TrainConfig,
        ranks: Ranks,
    ) -> None:
        self._state, self._stepper, self._saver = state, stepper, saver
        self._whole_batch, self._config, self._ranks = whole_batch, config, ranks
        self._watch = AnomalyWatch(config, directory)

    def judge(self, slope: Slope) -> str | None:
        """What is wrong with a step, in words; for a run that reads each loss."""
        return self._watch.judge(slope, self._state.progress)

    def check_finite(self, slope: Slope, batch: Batch) -> None:
        """Stop where nobody has looked before, so that what is found has been learnt already."""
        problem = find_anomaly(float(slope.loss), float(slope.grad_norm))
        if problem is not None:
            progress = self._state.progress
            number = progress.batch_number - 1
            self._stop(self._record(problem, slope, batch, progress.step, number))

    def treat(self, problem: str, slope: Slope, batch: Batch) -> None:
        """Stop, skip or roll back; no weight has moved yet.

        Raises:
            AnomalyError: to stop was configured, or there were `max_anomalies` already.
        """
        progress, config = self._state.progress, self._config
        number = progress.batch_number
        self._stepper.backward(batch, number)  # the norms as before clipping
        problem = self._record(problem, slope, batch, progress.step + 1, number)
        before = progress.rollbacks if config.on_anomaly == "rollback" else progress.skips_in_a_row
        if config.on_anomaly == "stop" or before >= config.max_anomalies:
            self._stop(problem)
        if self._ranks.is_first:
            warnings.warn(f"{problem}: {config.on_anomaly}", RuntimeWarning, stacklevel=2)
        if config.on_anomaly == "skip":
            progress.note_skip()
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        """Go back to the last checkpoint, but not in the data.

        Nothing has to be saved for that: a run killed before its next checkpoint comes to the same
        anomaly again, and does the same.
        """
        before = self._state.progress
        self._saver.go_back()
        self._state.progress.note_rollback(before)

    def _stop(self, problem: str) -> NoReturn:
        raise AnomalyError(
            f"{problem}; resume from step {self._saver.checkpoints.latest_step() or 0} with a lower"
            " max_lr, a longer warmup_steps, precision 'fp32', or on_anomaly 'skip' or 'rollback'"
        )

    def _record(
        self, problem: str, slope: Slope, batch: Batch, step: int, batch_number: int
    ) -> str:
        """Save an anomaly and its whole batch; a sentence that says where."""
        norms = gradient_norms(self._state.model)  # by all: each may have a part of every gradient
        if not self._ranks.is_first:
            return f"at step {step} {problem}"
        if self._ranks.are_many:
            batch = self._whole_batch(batch_number)
        return self._watch.record(
            problem,
            slope,
            batch,
            self._state.progress,
            gradient_norms=norms,
            step=step,
            batch_number=batch_number,
        )
