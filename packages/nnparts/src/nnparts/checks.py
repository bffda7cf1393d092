"""What is asked of ids before they index a table, and of the numbers of a config."""

import math
from typing import TypeGuard

import torch
from jaxtyping import Int
from torch import Tensor


def require_ids_below(limit: int, ids: Int[Tensor, "..."], name: str) -> None:
    """Raise an `IndexError` that names the worst of `ids` outside [0, limit).

    On the CPU alone: elsewhere a look at the values would wait for the device, and the device has
    an assertion of its own. Not while compiling: the graph would break here.
    """
    if torch.compiler.is_compiling() or ids.device.type != "cpu" or ids.numel() == 0:
        return
    low, high = (int(end) for end in torch.aminmax(ids))
    if low < 0 or high >= limit:
        raise IndexError(f"{name} must lie in [0, {limit}), got {low if low < 0 else high}")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is an int or a float: True is neither here, nor is text that reads as one."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_positive(value: object) -> bool:
    """Whether it is a number above 0, and finite."""
    return is_number(value) and 0 < value < math.inf
