"""Room on the disk, asked for before it is needed."""

import errno
import shutil
from pathlib import Path

from torch import nn
from torch.optim import Optimizer

from trainkit.snapshot import content_of
from trainkit.tensor_file import Tensors

# EDQUOT: a user's share of the disk; EFBIG: the largest file that is allowed.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# AdamW keeps two tensors of each parameter's size; an optimizer has none before its first step.
_STATES_A_PARAMETER = 2


def checkpoint_bytes(
    model: nn.Module, optimizer: Optimizer | None, more: dict[str, Tensors] | None = None
) -> int:
    """Bytes that a checkpoint takes, near enough; before the first step as for AdamW."""
    needed = content_of(model, optimizer, more).nbytes
    if optimizer is not None and not optimizer.state_dict()["state"]:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        needed += _STATES_A_PARAMETER * sum(parameter.nbytes for parameter in parameters)
    return needed


def is_disk_full(error: OSError) -> bool:
    """Whether something did not fit, so that making room would help."""
    return error.errno in _FULL


def free_bytes(path: Path) -> int:
    """Bytes free where `path` is or would be made."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def require_space(path: Path, needed: int) -> None:
    """Raise OSError (ENOSPC) unless `needed` bytes are free where `path` is."""
    if (free := free_bytes(path)) < needed:
        raise OSError(
            errno.ENOSPC,
            f"a checkpoint takes {_megabytes(needed)}, {path} has {_megabytes(free)} free; make"
            " room, keep fewer checkpoints, or choose another disk",
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
