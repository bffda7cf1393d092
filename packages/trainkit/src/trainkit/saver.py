"""When the state of a run is saved, and what happens where it does not fit on the disk."""

import warnings
from pathlib import Path

from trainkit.checkpoint_manager import CheckpointManager
from trainkit.clock import RunClock
from trainkit.config import TrainConfig
from trainkit.disk_space import is_disk_full, require_space
from trainkit.loggers import Journal
from trainkit.optimizer import set_hyperparameters
from trainkit.ranks import Ranks
from trainkit.run_state import RunState
from trainkit.sharding import is_sharded_model


class Saver:
    """Saves the state of a run in the background, and brings it back.

    Args:
        state: what is saved.
        journal: the run's metrics.
        directory: where checkpoints go, made at the first.
        config: which are kept, and what a full disk means.
        ranks: who trains; the first alone writes, or each its part of a model that is divided.

    Attributes:
        checkpoints: the run's `CheckpointManager`.
    """

    def __init__(
        self,
        state: RunState,
        journal: Journal,
        directory: Path,
        config: TrainConfig,
        ranks: Ranks,
    ) -> None:
        self._state, self._journal, self._config, self._ranks = state, journal, config, ranks
        self._is_divided = is_sharded_model(state.model)
        self.checkpoints = CheckpointManager(
            directory,
            keep=config.keep_checkpoints,
            keep_every=config.keep_checkpoints_every,
            keep_best=config.keep_best_checkpoint,
            in_background=True,
            ranks=ranks if self._is_divided else None,
        )
        self._seen_step = 0  # of the latest checkpoint when resumed, whether it was whole or not
        self._falls_back = self._retunes = False

    def resume(self, *, fall_back: bool = False, retune: bool = False) -> None:
        """As `Trainer.resume`."""
        self._falls_back, self._retunes = fall_back, retune
        if (latest := self.latest_step()) is None:
            return
        self._seen_step = latest
        self._state.load(self.checkpoints, fall_back=fall_back)
        if retune:
            set_hyperparameters(self._state.optimizer, self._state.model, self._config)

    def go_back(self) -> None:
        """Become what the latest checkpoint holds, the time spent since not forgotten."""
        wall_seconds = self._state.clock.wall_seconds
        self.wait()  # the latest may still be on its way to the disk
        self._ranks.wait()
        self.resume(fall_back=self._falls_back, retune=self._retunes)
        self._state.clock = RunClock(wall_seconds, self._state.progress.step)
        if self._ranks.is_first:
            self._journal.rewind(self._state.progress.step)

    def check_can_begin(self) -> None:
        """Refuse what could only fail later.

        Raises:
            ValueError: the directory holds checkpoints of a run that has gone further.
            OSError: there is no room for a checkpoint.
        """
        directory, step = self.checkpoints.directory, self._state.progress.step
        require_space(directory, self._state.checkpoint_bytes)
        latest = self.latest_step() or 0
        if latest > max(step, self._seen_step):
            raise ValueError(
                f"{directory.parent} holds a run that is at step {latest}, this one is at {step}; "
                "call resume() first, or choose another run_dir"
            )

    def latest_step(self) -> int | None:
        """The step of the latest checkpoint, as `resume` was told to find it.

        Raises:
            DamagedCheckpointError: the file `latest` is damaged, and it was not to fall back.
        """
        return self.checkpoints.latest_step(fall_back=self._falls_back)

    def save(self) -> None:
        """Save a checkpoint, after the one under way."""
        self._ranks.check_equal(self._state.progress.step, self._state.model)
        if not (self._ranks.is_first or self._is_divided):
            return
        self.wait()
        if self._ranks.is_first:
            self._journal.sync()  # a checkpoint promises that the lines up to it are there
        self._state.save(self.checkpoints)

    def hear(self) -> None:
        """Hear how the last checkpoint went, once it is done: not as late as the next one."""
        if not self.checkpoints.is_saving:
            self.wait()

    def wait(self) -> None:
        """Wait for the one under way; where it does not fit, `on_disk_full` says what then."""
        try:
            self.checkpoints.wait()
        except OSError as error:
            if self._config.on_disk_full == "stop" or not is_disk_full(error):
                raise
            if not self._ranks.is_first:
                return
            warnings.warn(
                f"no checkpoint was saved: {error}. Training goes on at step "
                f"{self._state.progress.step:,} and will try the next one; checkpoints are there of"
                f" steps {self.checkpoints.steps()}",
                RuntimeWarning,
                stacklevel=2,
            )
