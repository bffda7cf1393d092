"""What changes as a run goes on."""

from torch import nn
from torch.optim import Optimizer

from trainkit.checkpoint_files import model_pattern
from trainkit.checkpoint_manager import CheckpointManager
from trainkit.clock import RunClock
from trainkit.disk_space import checkpoint_bytes
from trainkit.ema import WeightAverage
from trainkit.loss_scale import LossScale
from trainkit.progress import Progress
from trainkit.tensor_file import Tensors

_SCALE = "loss_scale"


class RunState:
    """Everything that a run must find again to go on: what its checkpoints hold.

    Args:
        model: on its device.
        optimizer: over the model's parameters.
        ema_decay: of the averaged weights; None: none are kept.
        loss_scale: of fp16; None in any other precision.

    Attributes:
        model: as given.
        optimizer: as given.
        average: the averaged weights, or None.
        progress: how far the run has come.
        clock: how long it has taken.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        ema_decay: float | None,
        loss_scale: LossScale | None = None,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self._loss_scale = loss_scale
        self.average = None if ema_decay is None else WeightAverage(model, ema_decay)
        self.progress, self.clock = Progress(), RunClock()

    @property
    def checkpoint_bytes(self) -> int:
        """What a checkpoint of it takes, near enough."""
        return checkpoint_bytes(self.model, self.optimizer, self._averaged())

    def save(self, checkpoints: CheckpointManager) -> None:
        """Save a checkpoint; it is as good as the evaluation of this very step."""
        progress = self.progress
        checkpoints.save(
            progress.step,
            self.model,
            self.optimizer,
            {**progress.to_dict(), "wall_seconds": self.clock.wall_seconds, **self._scale()},
            metric=progress.valid_loss if progress.evaluated_step == progress.step else None,
            more=self._averaged(),
        )

    def load(self, checkpoints: CheckpointManager, *, fall_back: bool) -> None:
        """Become what the latest checkpoint holds.

        Args:
            checkpoints: of the run.
            fall_back: whether to take the one before, with a warning, where that is damaged.

        Raises:
            ValueError: it is of another model or optimizer, or damaged, or has no averaged weights
                while some are kept.
        """
        saved = checkpoints.load(self.model, self.optimizer, fall_back=fall_back)
        if self.average is not None:
            self._load_average(self.average, checkpoints, saved.step)
        self.progress = Progress.from_dict({**saved.extra, "step": saved.step})
        self.clock = RunClock(saved.extra["wall_seconds"], saved.step)
        if self._loss_scale is not None and _SCALE in saved.extra:  # not where it went on in fp16
            self._loss_scale.load(saved.extra[_SCALE])

    def _scale(self) -> dict[str, dict[str, float]]:
        return {} if self._loss_scale is None else {_SCALE: self._loss_scale.to_dict()}

    def _averaged(self) -> dict[str, Tensors] | None:
        return None if self.average is None else {"ema": self.average.tensors()}

    def _load_average(
        self, average: WeightAverage, checkpoints: CheckpointManager, step: int
    ) -> None:
        try:
            pattern = model_pattern(average.model)
            average.load(checkpoints.load_more("ema", step, pattern))
        except FileNotFoundError as error:
            raise ValueError(
                f"the checkpoint of step {step} has no averaged weights; go on with ema_decay=None,"
                " as the run began, or begin a new one"
            ) from error
