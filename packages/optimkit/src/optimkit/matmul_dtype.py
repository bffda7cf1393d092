"""Which dtype matrix products are fast in, found by measuring."""

import time
from functools import cache
from typing import Literal

import torch

MatmulDtype = Literal["bf16", "fp32"]
"""What matrix products are computed in, by name, so that a state with it can be saved as JSON."""

DTYPES: dict[MatmulDtype, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}
# Side of a square product, and the most that bf16 may take, in fp32's time. Where bf16 is hopeless
# (600 times slower on processors with AVX2 alone) the small one says so within 10 ms.
_LADDER = {64: 8.0, 512: 0.9}


@cache
def fastest_matmul_dtype(device: str) -> MatmulDtype:
    """Time square products on `device`, once a process: "bf16" if it gains a tenth, else "fp32".

    Never inferred from a processor's name: bf16 is 4 times as fast as fp32 on one kind, and on
    another 600 times slower.

    Args:
        device: as torch writes it, such as "cpu" or "cuda:0". On "meta" nothing is computed, and
            the answer is "fp32".
    """
    if device == "meta":
        return "fp32"
    for size, limit in _LADDER.items():
        if _seconds(device, "bf16", size) > limit * _seconds(device, "fp32", size):
            return "fp32"
    return "bf16"


def _seconds(device: str, dtype: MatmulDtype, size: int) -> float:
    """The least time of three products, after one to warm up."""
    matrix = torch.ones(size, size, device=device, dtype=DTYPES[dtype])
    times: list[float] = []
    for _ in range(4):
        _wait(device)
        start = time.perf_counter()
        _ = matrix @ matrix
        _wait(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _wait(device: str) -> None:
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)
