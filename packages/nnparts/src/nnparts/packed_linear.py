"""Linear maps for decoding: weights laid out for a few rows at a time."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nnparts.linear import Linear

# Relative Frobenius error against fp64: fp32 gives 2e-7 to 6e-7, whichever library computes it.
_MAX_ERROR = 1e-5
_GAIN = 0.95  # of the usual product's seconds: what the packed one must stay under
_ROUNDS = 5
# Of the weight that is measured, 32 MB: in decoding weights come from memory, not from a cache.
_OUT, _IN = 8192, 1024


@contextmanager
def packed_linears(model: torch.nn.Module, rows: int) -> Generator[None]:
    """Inside the block, `Linear`s of `model` multiply by a packed copy of their weight, if it pays.

    A step of decoding multiplies every weight by one row a sequence, so reading the weights is all
    of its time. A layout made for that, oneDNN's, halves the time of 2 to 8 rows and saves a tenth
    of that of one. It is tried and timed on the first call for so many `rows`, and where it isn't
    there, is wrong or no faster, nothing happens.

    The copy costs a second time the weights' memory, and its making the time of 10 to 40 steps.
    Changes of a weight inside the block are not seen. Inference only: it keeps no graph.

    Args:
        model: its `Linear`s with fp32 weights on a CPU are packed.
        rows: how many rows are multiplied at a time.
    """
    packed: list[Linear] = []
    try:
        if _pays(rows, torch.get_num_threads()):
            for module in model.modules():
                if isinstance(module, Linear) and _can_pack(module.weight):
                    module.product = _packed_product(module.weight)
                    packed.append(module)
        yield
    finally:
        for module in packed:
            module.product = None


def _can_pack(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def _packed_product(weight: Float[Tensor, "out in"]) -> Callable[[Tensor], Tensor]:
    """Multiplies rows by W^T, by a copy of W as oneDNN likes it.

    These operators are torch's own, for its compiler, and not promised to anyone: no call of them
    is made that `_pays` has not tried.
    """
    operators: Any = torch.ops.mkldnn
    packed = operators._reorder_linear_weight(weight.detach())
    multiply = operators._linear_pointwise.default
    return lambda x: multiply(x, packed, None, "none", [], "")


@cache  # once a process: a choice that changed from call to call would change last digits
def _pays(rows: int, threads: int) -> bool:
    """Whether a packed product is there, right, and faster on `rows` rows."""
    del threads  # of the cache's key alone
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, _IN, generator=generator)
    weight = torch.randn(_OUT, _IN, generator=generator)
    with torch.no_grad():
        try:
            packed = _packed_product(weight)
            ours = packed(x).double()
        except (AttributeError, RuntimeError, TypeError):  # no oneDNN, or other operators
            return False
        exact = x.double() @ weight.double().T
        if not (ours - exact).norm() <= _MAX_ERROR * exact.norm():
            return False
        usual = partial(torch.nn.functional.linear, weight=weight)
        times = [(_seconds(packed, x), _seconds(usual, x)) for _ in range(_ROUNDS)]
    ours_least, usual_least = (min(seconds) for seconds in zip(*times, strict=True))
    return ours_least < _GAIN * usual_least


def _seconds(product: Callable[[Tensor], Tensor], x: Tensor) -> float:
    start = time.perf_counter()
    product(x)
    return time.perf_counter() - start
