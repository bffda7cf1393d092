"""Products with weights that are laid out for a few rows at a time, for decoding."""

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# Relative Frobenius error against fp64: fp32 gives 2e-7 to 6e-7, whichever library computes it.
_MAX_ERROR = 1e-5
_GAIN = 0.95  # of the usual products' seconds: what the packed ones must stay under
_ROUNDS = 5
_MEASURED_BYTES = 2**26  # of weights: so many come from memory, as in decoding, not from a cache

Product = Callable[[Tensor], Tensor]


def products(weights: Sequence[Float[Tensor, "_ _"]], rows: int) -> list[Product]:
    """For each weight W what computes x W^T for `rows` rows: by a packed copy, if it pays.

    A step of decoding multiplies every weight by one row a sequence, so reading the weights is all
    of its time. A layout made for that, oneDNN's, halves the time of 2 to 8 rows and saves a fifth
    of that of one. It is tried and timed at first (some 0.1 s, once a process for each shape and
    number of rows), and where it isn't there, is wrong or no faster, the products are the usual
    ones, with the weights as they lie.

    The copies cost a second time the weights' memory, and their making the time of 10 to 40 steps.
    Later changes of a weight are not seen. Inference only: they keep no graph.
    """
    shapes = tuple(tuple(weight.shape) for weight in weights)
    can_pack = all(_can_pack(weight) for weight in weights)
    if can_pack and _pays(shapes, rows, torch.get_num_threads()):
        return [_packed_product(weight) for weight in weights]
    return [_usual_product(weight) for weight in weights]


def _can_pack(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def _usual_product(weight: Float[Tensor, "out in"]) -> Product:
    return partial(torch.nn.functional.linear, weight=weight.detach())


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
        inputs, usual, packed = _tried_products(shapes, rows)
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


def _tried_products(
    shapes: tuple[tuple[int, ...], ...], rows: int
) -> tuple[list[Tensor], list[Product], list[Product]]:
    """Inputs, and what multiplies them as usual and packed, for the first `_MEASURED_BYTES`."""
    weights: list[Tensor] = []
    for shape in shapes:
        if sum(weight.nbytes for weight in weights) < _MEASURED_BYTES:
            weights.append(torch.ones(shape))
    inputs = [torch.ones(rows, weight.shape[1]) for weight in weights]
    usual = [_usual_product(weight) for weight in weights]
    return inputs, usual, [_packed_product(weight) for weight in weights]


def _seconds(products: list[Product], inputs: list[Tensor]) -> float:
    start = time.perf_counter()
    for product, x in zip(products, inputs, strict=True):
        product(x)
    return time.perf_counter() - start
