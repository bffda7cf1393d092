"""The checkpoints of a run: one directory each, the newest named by `latest`, the last few kept.

checkpoints/
├── latest                     the name of the newest directory
├── step-000400/
└── step-000500/
    ├── model.safetensors      the weights under their plain state-dict names
    ├── optimizer.safetensors
    └── state.json             the step, and what the caller gave
"""

import json
import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from trainkit.atomic import (
    current_directory,
    remove_directory,
    replace_directory,
    replace_file,
    settle,
)
from trainkit.model_state import check_model_tensors, copy_model_tensors, model_tensors
from trainkit.optimizer_state import (
    check_optimizer_tensors,
    load_optimizer_tensors,
    optimizer_tensors,
)
from trainkit.tensor_file import read_tensors, write_tensors

_LATEST = "latest"
_MODEL, _OPTIMIZER, _STATE = "model.safetensors", "optimizer.safetensors", "state.json"
_MODEL_KIND, _OPTIMIZER_KIND = "groundup-model", "groundup-optimizer"


@dataclass(frozen=True)
class CheckpointState:
    """What a checkpoint holds besides tensors."""

    step: int
    """Updates done when it was saved."""
    extra: dict[str, Any]
    """What the caller of `save` gave."""


class CheckpointManager:
    """Saves and loads the checkpoints in one directory; a killed save leaves the ones before.

    One process at a time may save; any number may load.

    Args:
        directory: made at the first save.
        keep: the newest checkpoints that are kept, at least 1.

    Raises:
        ValueError: `keep` is below 1.
    """

    def __init__(self, directory: str | PathLike[str], *, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.directory = Path(directory)
        self.keep = keep

    def save(
        self,
        step: int,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Path:
        """Save a checkpoint, point `latest` to it, and remove all but the newest `keep`.

        Checkpoints of later steps go too: they are of a future that the run went back from.

        Args:
            step: updates done; a checkpoint of the same step is replaced.
            model: whose state dict is saved.
            optimizer: over the model's parameters; None saves the weights alone.
            extra: anything JSON can hold.

        Returns:
            The checkpoint's directory.

        Raises:
            OSError: the disk is full; the checkpoints before are whole.
            ValueError: as `save_checkpoint`.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        settle(self.directory)
        path = self._path(step)
        with replace_directory(path) as staging:
            _write_checkpoint(staging, model, optimizer, CheckpointState(step, extra or {}))
        with replace_file(self.directory / _LATEST) as file:
            file.write(f"{path.name}\n".encode())
        self._prune(step)
        return path

    def load(
        self, model: nn.Module, optimizer: Optimizer | None = None, step: int | None = None
    ) -> CheckpointState:
        """Put a checkpoint into `model` and `optimizer`; all of it or nothing.

        Args:
            model: of the same names and shapes.
            optimizer: of the same class over the same parameters; None loads the weights alone.
            step: which checkpoint; None takes the latest.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            ValueError: as `load_checkpoint`.
        """
        step = self.latest_step() if step is None else step
        if step is None or step not in self.steps():
            raise FileNotFoundError(
                f"no checkpoint {'at all' if step is None else f'of step {step}'} in "
                f"{self.directory}; there are those of steps {self.steps()}"
            )
        return _read_checkpoint(current_directory(self._path(step)), model, optimizer)

    def latest_step(self) -> int | None:
        """The step that `latest` names; None where nothing was saved yet.

        Raises:
            ValueError: `latest` names no checkpoint that is there.
        """
        latest = self.directory / _LATEST
        if not latest.exists():  # killed between the first checkpoint and its name, or never saved
            return max(self.steps(), default=None)
        name = latest.read_text(encoding="utf-8").strip()
        step = _step_of(name)
        if step not in self.steps():
            raise ValueError(
                f"{latest} names {name!r}, which is not there; write the name of another "
                f"checkpoint into it, there are those of steps {self.steps()}"
            )
        return step

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        if not self.directory.is_dir():
            return []
        found = {_step_of(path.name.removesuffix(".retired")) for path in self.directory.iterdir()}
        return sorted(step for step in found if step is not None)

    def _prune(self, newest: int) -> None:
        past = [step for step in self.steps() if step <= newest]
        for step in set(self.steps()) - set(past[-self.keep :]):
            remove_directory(self._path(step))

    def _path(self, step: int) -> Path:
        return self.directory / f"step-{step:06d}"


def _write_checkpoint(
    directory: Path, model: nn.Module, optimizer: Optimizer | None, state: CheckpointState
) -> None:
    with (directory / _MODEL).open("wb") as file:
        write_tensors(file, model_tensors(model), {}, kind=_MODEL_KIND)
    if optimizer is not None:
        tensors, description = optimizer_tensors(optimizer, model)
        with (directory / _OPTIMIZER).open("wb") as file:
            write_tensors(file, tensors, description, kind=_OPTIMIZER_KIND)
    content = {"step": state.step, "extra": state.extra}
    (directory / _STATE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_checkpoint(
    directory: Path, model: nn.Module, optimizer: Optimizer | None
) -> CheckpointState:
    content = json.loads((directory / _STATE).read_text(encoding="utf-8"))
    weights, _ = read_tensors(directory / _MODEL, kind=_MODEL_KIND)
    check_model_tensors(weights, model)
    if optimizer is not None:
        if not (directory / _OPTIMIZER).exists():
            raise ValueError(f"{directory} holds weights alone; load it with optimizer=None")
        tensors, description = read_tensors(directory / _OPTIMIZER, kind=_OPTIMIZER_KIND)
        check_optimizer_tensors(description, optimizer, model)
        load_optimizer_tensors(tensors, description, optimizer)
    copy_model_tensors(weights, model)
    return CheckpointState(content["step"], content["extra"])


def _step_of(name: str) -> int | None:
    match = re.fullmatch(r"step-(\d+)", name)
    return int(match[1]) if match else None
