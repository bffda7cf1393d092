"""How far a run has come: what must be known, besides tensors, to go on as if never left."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class Progress:
    """All of a run's state that is no tensor; JSON can hold it."""

    step: int = 0
    """Updates done, those skipped included."""
    evaluated_step: int = 0
    """The step of the last evaluation."""
    valid_loss: float | None = None
    """What it gave; None where that was not finite, for which JSON has no number."""
    least_valid_loss: float | None = None
    """The least of all so far."""
    stale_evaluations: int = 0
    """Evaluations since then."""
    recent_losses: list[float] = field(default_factory=list[float])
    """Those that say what is usual, the newest last; empty where losses are not read."""
    skipped_steps: int = 0
    """Updates in which nothing was learnt."""
    skips_in_a_row: int = 0
    """Of them, those since something was."""
    rollbacks: int = 0
    """Times that the run went back to a checkpoint."""
    passed_over: int = 0
    """Batches that are not learnt from because of that."""

    @property
    def batch_number(self) -> int:
        """The number, in the order of the data, of the batch that is next."""
        return self.step + self.passed_over

    def note_evaluation(self, loss: float) -> None:
        """Take note of the validation loss at `step`."""
        is_finite, least = math.isfinite(loss), self.least_valid_loss
        self.evaluated_step, self.valid_loss = self.step, loss if is_finite else None
        # NaN is never the least: no loss is less than it. An older run may have taken it for that.
        if is_finite and (least is None or math.isnan(least) or loss < least):
            self.least_valid_loss, self.stale_evaluations = loss, 0
        else:
            self.stale_evaluations += 1

    def note_loss(self, loss: float, window: int) -> None:
        """Take note of a usual loss, and forget those before the last `window`."""
        self.recent_losses = [*self.recent_losses, loss][-window:]
        self.skips_in_a_row = 0

    def note_skip(self) -> None:
        """Take note of an update in which nothing was learnt."""
        self.step += 1
        self.skipped_steps += 1
        self.skips_in_a_row += 1

    def note_rollback(self, before: "Progress") -> None:
        """Take note that the run came here from `before`, and that its next batch was no good."""
        self.rollbacks = before.rollbacks + 1
        self.passed_over = before.batch_number + 1 - self.step

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Progress":
        """From what `to_dict` gave, or a checkpoint from before a field was there."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})
