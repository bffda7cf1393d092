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
_GAIN = 0.95  # of the usual products' seconds: what the packed ones must stay under
_ROUNDS = 5
_MEASURED_BYTES = 2**26  # of weights: so many come from memory, as in decoding, not from a cache

Product = Callable[[Tensor], Tensor]


@contextmanager
def packed_linears(model: torch.nn.Module, rows: int) -> Generator[None]:
    """Inside the block, `Linear`s of `model` multiply by a packed copy of their weight, if it pays.

    A step of decoding multiplies every weight by one row a sequence, so reading the weights is all
    of its time. A layout made for that, oneDNN's, halves the time of 2 to 8 rows and saves a fifth
    of that of one. It is tried and timed at first (some 0.1 s, once a process for each shape and
    number of rows), and where it isn't there, is wrong or no faster, nothing happens.

    The copy costs a second time the weights' memory, and its making the time of 10 to 40 steps.
    Changes of a weight inside the block are not seen. Inference only: it keeps no graph.

    Args:
        model: its `Linear`s with fp32 weights on a CPU are packed.
        rows: how many rows are multiplied at a time.
    """
    linears = [m for m in model.modules() if isinstance(m, Linear) and _can_pack(m.weight)]
    shapes = tuple(tuple(linear.weight.shape) for linear in linears)
    if not _pays(shapes, rows, torch.get_num_threads()):
        yield
        return
    try:
        for linear in linears:
            linear.product = _packed_product(linear.weight)
        yield
    finally:
        for linear in linears:
            linear.product = None


def _can_pack(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def _packed_product(weight: Float[Tensor, "out in"]) -> Product:
    """Multiplies rows by W^T, by a copy of W as oneDNN likes it.

    These operators are torch's own, for its compiler, and not promised to anyone: no call of them
    is made that `_pays` has not tried.
    """
    operators: Any = torch.ops.mkldnn
    packed = operators._reorder_linear_weight(weight.detach())
    multiply = operators._linear_pointwise.default
    return lambda x: multiply(x, packed, None, "none", [], "")


@cache  # once a process: a choice that changed from call to call would change last digits
def _pays(shapes: tuple[tuple[int, ...], ...], rows: int, threads: int) -> bool:
    """Whether packed products with weights of these shapes are there, right, and faster."""
    del threads  # of the cache's key alone
    with torch.no_grad():
        if not shapes or not _is_right(rows):
            return False
        inputs, usual, packed = _products(shapes, rows)
        times = [(_seconds(packed, inputs), _seconds(usual, inputs)) for _ in range(_ROUNDS)]
    ours, theirs = (min(seconds) for seconds in zip(*times, strict=True))
    return ours < _GAIN * theirs


def _is_right(rows: int) -> bool:
    """Whether there are packed products here, and they are those of fp32."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 512, generator=generator)
    weight = torch.randn(256, 512, generator=generator)
    try:
        ours = _packed_product(weight)(x).double()
    except (AttributeError, RuntimeError, TypeError):  # no oneDNN, or other operators
        return False
    exact = x.double() @ weight.double().T
    return bool((ours - exact).norm() <= _MAX_ERROR * exact.norm())


def _products(
    shapes: tuple[tuple[int, ...], ...], rows: int
) -> tuple[list[Tensor], list[Product], list[Product]]:
    """Inputs, and what multiplies them as usual and packed, for the first `_MEASURED_BYTES`."""
    weights: list[Tensor] = []
    for shape in shapes:
        if sum(weight.nbytes for weight in weights) < _MEASURED_BYTES:
            weights.append(torch.ones(shape))
    inputs = [torch.ones(rows, weight.shape[1]) for weight in weights]
    usual: list[Product] = [partial(torch.nn.functional.linear, weight=w) for w in weights]
    return inputs, usual, [_packed_product(weight) for weight in weights]


def _seconds(products: list[Product], inputs: list[Tensor]) -> float:
    start = time.perf_counter()
    for product, x in zip(products, inputs, strict=True):
        product(x)
    return time.perf_counter() - start
