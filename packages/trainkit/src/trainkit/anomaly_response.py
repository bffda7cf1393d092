"""What a run does about its anomalies."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from trainkit.anomaly import AnomalyError, AnomalyWatch, find_anomaly, named_gradient_norms
from trainkit.batch import Batch
from trainkit.config import TrainConfig
from trainkit.first_bad_step import FirstBadStep
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
        # A loss is the share of one rank: what is judged without asking must be the same on all.
        self._first_bad = FirstBadStep(judges_loss=not ranks.are_many)

    def judge(self, slope: Slope) -> str | None:
        """What is wrong with a step, in words; for a run that reads each loss."""
        return self._watch.judge(slope, self._state.progress)

    def note(self, slope: Slope) -> None:
        """Take note of a step that nobody looks at now; the batch is not yet learnt from."""
        self._first_bad.note(slope, self._state.progress.batch_number)

    def forget(self) -> None:
        """Forget what was noted: the run stands elsewhere now."""
        self._first_bad.forget()

    def check(self) -> None:
        """Stop for the first bad step of those noted; it has been learnt from already.

        Raises:
            AnomalyError: there was one.
        """
        if (found := self._first_bad.read()) is None:
            return
        self.forget()
        number, slope = found
        self._stop_after(number, self._stepper.of_all_ranks(slope))

    def check_last(self, slope: Slope) -> None:
        """Stop if the step just made was bad; for a loss that only all ranks together know.

        Raises:
            AnomalyError: it was.
        """
        if find_anomaly(float(slope.loss), float(slope.grad_norm)) is not None:
            self._stop_after(self._state.progress.batch_number - 1, slope)

    def treat(self, problem: str, slope: Slope) -> None:
        """Stop, skip or roll back; no weight has moved yet.

        Raises:
            AnomalyError: to stop was configured, or there were `max_anomalies` already.
        """
        progress, config = self._state.progress, self._config
        problem = self._record(problem, slope, progress.batch_number)
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
            f"{problem}; resume from step {self._saver.latest_step() or 0} with a lower"
            " max_lr, a longer warmup_steps, precision 'fp32', or on_anomaly 'skip' or 'rollback'"
        )

    def _stop_after(self, batch_number: int, slope: Slope) -> NoReturn:
        problem = find_anomaly(float(slope.loss), float(slope.grad_norm))
        assert problem is not None
        self._stop(self._record(problem, slope, batch_number))

    def _record(self, problem: str, slope: Slope, batch_number: int) -> str:
        """Save an anomaly and its whole batch; a sentence that says where."""
        step = batch_number - self._state.progress.passed_over + 1
        # By all: each may have a part of every gradient.
        norms = named_gradient_norms(self._state.model, slope.row_norms)
        if not self._ranks.is_first:
            return f"at step {step} {problem}"
        return self._watch.record(
            problem,
            slope,
            self._whole_batch(batch_number),
            self._state.progress,
            gradient_norms=norms,
            step=step,
            batch_number=batch_number,
        )
