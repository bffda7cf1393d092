"""A checkpoint as one file: weights, optimizer state and the count of updates in one blob.

Tensors are named `model.<name>` and `optimizer.<index>.<state name>`; the rest is JSON in the
metadata. `CheckpointManager` keeps the checkpoints of a run in directories of its own.
"""

from os import PathLike
from pathlib import Path
from typing import cast

from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.atomic import replace_file
from trainkit.model_state import check_model_tensors, copy_model_tensors, model_tensors
from trainkit.optimizer_state import (
    check_optimizer_tensors,
    load_optimizer_tensors,
    optimizer_tensors,
)
from trainkit.tensor_file import (
    Description,
    Readable,
    Tensors,
    Writable,
    read_tensors,
    write_tensors,
)

KIND = "groundup-checkpoint"


def save_checkpoint(
    model: nn.Module,
    optimizer: Optimizer | None,
    iteration: int,
    out: str | PathLike[str] | Writable,
) -> None:
    """Write everything needed to go on training to one safetensors blob.

    A path is replaced atomically: a failure or a kill leaves the file that was there before. The
    names are those of the bare model, compiled or wrapped for data parallelism as it may be.

    Args:
        model: whose state dict is saved.
        optimizer: over the model's parameters; None saves the weights alone.
        iteration: count of updates done.
        out: a path or a binary file object.

    Raises:
        OSError: the disk is full or the path cannot be written.
        ValueError: the model or the optimizer holds what neither a tensor nor JSON can.
    """
    tensors = _prefixed("model.", model_tensors(model))
    description: Description = {"iteration": iteration, "optimizer": None}
    if optimizer is not None:
        states, description["optimizer"] = optimizer_tensors(optimizer, model)
        tensors |= _prefixed("optimizer.", states)
    if isinstance(out, str | PathLike):
        with replace_file(Path(out)) as file:
            write_tensors(file, tensors, description, kind=KIND)
    else:
        write_tensors(out, tensors, description, kind=KIND)


def load_checkpoint(
    src: str | PathLike[str] | Readable,
    model: nn.Module,
    optimizer: Optimizer | None,
) -> int:
    """Put a checkpoint into `model` and `optimizer`, on their devices; all of it or nothing.

    Weights are cast to the model's dtype where it differs; optimizer states keep theirs, but for
    those of torch's own optimizers, which are cast, too.

    Args:
        src: a path or a binary file object.
        model: of the same names and shapes.
        optimizer: of the same class over the same parameters; None loads the weights alone.

    Returns:
        The count of updates done when it was saved.

    Raises:
        FileNotFoundError: there is no file at `src`.
        ValueError: it is no whole checkpoint, or one of another model or optimizer (the error
            lists what differs); nothing has been changed then.
    """
    source = Path(src) if isinstance(src, str | PathLike) else src
    tensors, description = read_tensors(source, kind=KIND)
    weights, states = _with_prefix("model.", tensors), _with_prefix("optimizer.", tensors)
    check_model_tensors(weights, model)
    if optimizer is not None:
        if description["optimizer"] is None:
            raise ValueError("the checkpoint holds weights alone; load it with optimizer=None")
        check_optimizer_tensors(description["optimizer"], optimizer, model)
        load_optimizer_tensors(states, description["optimizer"], optimizer)
    copy_model_tensors(weights, model)
    return cast(int, description["iteration"])


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> Tensors:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
