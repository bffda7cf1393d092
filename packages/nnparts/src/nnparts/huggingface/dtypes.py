"""One dtype for all weights of a model."""

from collections.abc import Iterable

import torch


def common_dtype(stored: Iterable[torch.dtype], wanted: torch.dtype | None) -> torch.dtype:
    """The dtype `wanted`, or if None the one of all that are `stored`.

    Raises:
        ValueError: it isn't a float of 16 bits or more, as in a quantized model; or several are
            stored and none is wanted.
    """
    found = set(stored)
    unusable = [
        dtype
        for dtype in found | ({wanted} if wanted else set())
        if not dtype.is_floating_point or dtype.itemsize < 2
    ]
    if unusable:
        raise ValueError(f"weights must be floats of 16 bits or more, got {_names(unusable)}")
    if wanted is not None:
        return wanted
    if len(found) > 1:
        raise ValueError(f"the weights are {_names(found)}: say by dtype= which all shall be")
    return found.pop()


def _names(dtypes: Iterable[torch.dtype]) -> str:
    return ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
