"""What a checkpoint holds besides tensors: its `state.json`."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainkit.manifest import DamagedCheckpointError

STATE = "state.json"


@dataclass(frozen=True)
class CheckpointState:
    """What a checkpoint holds besides tensors."""

    step: int
    """Updates done when it was saved."""
    extra: dict[str, Any]
    """What the caller of `save` gave."""
    metric: float | None = None
    """How good it was, less is better; None where nobody said, or it was not finite."""

    def to_bytes(self) -> bytes:
        """The file's content."""
        content = {"step": self.step, "metric": _finite(self.metric), "extra": self.extra}
        return (json.dumps(content, indent=2) + "\n").encode()


def read_state(directory: Path) -> CheckpointState:
    """That of a checkpoint.

    Raises:
        DamagedCheckpointError: it isn't there, or isn't one.
    """
    path = directory / STATE
    try:
        content = json.loads(path.read_bytes())
        # Finite: version 0.1 saved NaN, than which no metric is less.
        return CheckpointState(content["step"], content["extra"], _finite(content.get("metric")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpointError(
            f"{path} is not what a checkpoint's state is ({error}); take another checkpoint"
        ) from error


def _finite(metric: float | None) -> float | None:
    """`metric`, or None where it is not finite: JSON has no NaN, and none is less than it."""
    return metric if metric is not None and math.isfinite(metric) else None
