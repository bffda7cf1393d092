"""The most memory that a process has held."""

import sys
from importlib import import_module
from typing import Any

import torch

_KIB = 1024


def peak_memory_bytes(device: str | torch.device) -> int | None:
    """Bytes: of the GPU's memory where `device` is one, else of this process's resident memory.

    Both since the process began: training, evaluation, and what came before. None where the system
    doesn't say (Windows).
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        resource: Any = import_module("resource")
    except ImportError:
        return None
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else _KIB * peak
