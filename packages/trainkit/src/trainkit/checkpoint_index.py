"""Which checkpoints a directory holds: the steps, the latest, the best, and those to be kept."""

import re
from dataclasses import dataclass
from pathlib import Path

from trainkit.atomic import current_directory, remove_directory, replace_file
from trainkit.checkpoint_state import read_state
from trainkit.manifest import DamagedCheckpointError

_LATEST = "latest"


@dataclass(frozen=True)
class Kept:
    """Which checkpoints stay when another is saved."""

    newest: int = 2
    """So many of the newest."""
    every: int | None = None
    """Those of steps that this divides; None: none are."""
    best: bool = False
    """Whether the one of the least metric is."""


class CheckpointIndex:
    """The checkpoints in `directory`, as they are on the disk whenever it is asked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, step: int) -> Path:
        """The directory of the checkpoint of `step`."""
        return self.directory / f"step-{step:06d}"

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        if not self.directory.is_dir():
            return []
        found = {_step_of(path.name.removesuffix(".retired")) for path in self.directory.iterdir()}
        return sorted(step for step in found if step is not None)

    def latest_step(self, *, fall_back: bool = False) -> int | None:
        """The step that `latest` names; None where nothing was saved yet.

        Args:
            fall_back: whether it is the greatest step where `latest` names none that is there.

        Raises:
            DamagedCheckpointError: `latest` names no checkpoint that is there.
        """
        latest = self.directory / _LATEST
        if not latest.exists():  # killed between the first checkpoint and its name, or never saved
            return max(self.steps(), default=None)
        name = latest.read_text(encoding="utf-8", errors="replace").strip()
        steps = {self.path(step).name: step for step in self.steps()}
        if name not in steps:
            if fall_back and steps:
                return max(steps.values())
            raise DamagedCheckpointError(
                f"{latest} names {name!r}, which is not there; write the name of another "
                f"checkpoint into it, there are those of steps {self.steps()}"
            )
        return steps[name]

    def point_to(self, step: int) -> None:
        """Let `latest` name the checkpoint of `step`."""
        with replace_file(self.directory / _LATEST) as file:
            file.write(f"{self.path(step).name}\n".encode())

    def best_step(self) -> int | None:
        """The step of the least metric, the earliest of several; None where none has one."""
        metrics = {step: self._metric(step) for step in self.steps()}
        known = [(metric, step) for step, metric in metrics.items() if metric is not None]
        return min(known)[1] if known else None

    def prune(self, newest: int, kept: Kept) -> None:
        """Remove what need not be kept, and what is of later steps than `newest`."""
        past = [step for step in self.steps() if step <= newest]
        stays = set(past[-kept.newest :])
        if kept.every is not None:
            stays |= {step for step in past if step % kept.every == 0}
        if kept.best and (best := self.best_step()) is not None and best <= newest:
            stays.add(best)
        for step in set(self.steps()) - stays:
            remove_directory(self.path(step))

    def _metric(self, step: int) -> float | None:
        try:
            return read_state(current_directory(self.path(step))).metric
        except DamagedCheckpointError:
            return None


def _step_of(name: str) -> int | None:
    match = re.fullmatch(r"step-(\d+)", name)
    return int(match[1]) if match else None
