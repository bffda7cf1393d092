"""In which precision a machine trains fastest: found by measuring, never from a model's name.

Processors differ: on one kind bf16 matrix products run at twice the speed of fp32, on another at
a six-hundredth, and one library's fp32 is twice as fast as the other's. So each candidate
multiplies a few matrices first, checked against fp64, and what is left runs a few real steps.
"""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from trainkit.loss import batch_loss

Precision = Literal["fp32", "fp32-onednn", "bf16"]
"""What matrix products are computed in; weights, their gradients and optimizer states stay fp32.

"fp32" is torch's default. "fp32-onednn" (CPU) sends fp32 products to oneDNN instead of MKL, by a
flag that lets oneDNN use bf16: on processors with AMX it does, and then this is not fp32 at all.
"bf16" is torch's autocast.
"""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

# Relative Frobenius error of a product of 256 x 256 against fp64: fp32 gives 2e-7 to 5e-7, tf32
# 3e-4, bf16 (inputs and output rounded to 8 bits) 3e-3.
_MAX_ERROR: dict[Precision, float] = {"fp32": 1e-5, "fp32-onednn": 1e-5, "bf16": 2e-2}
# Side of a product, and the most that it may take, in fp32's time. The small ones cost little where
# a candidate is hopeless, and are forgiving where overhead hides the ratio.
_LADDER = {64: 8.0, 128: 4.0, 256: 2.0, 1024: 0.9}
_GAIN = 0.9  # of fp32's seconds: what a candidate must stay under, for noise is some 5 %


@dataclass(frozen=True)
class PrecisionReport:
    """What `measure_precision` found."""

    choice: Precision
    """The fastest, or "fp32" where none is faster by a tenth."""
    matmul_seconds: dict[Precision, float]
    """Seconds of one product of 1024 x 1024 matrices, for each that came so far."""
    step_seconds: dict[Precision, float]
    """Seconds of one forward and backward pass; empty where only "fp32" was left."""
    rejected: dict[Precision, str]
    """Why a candidate was not timed on the model."""

    def summary(self) -> str:
        """One line for a log."""
        times = self.step_seconds or self.matmul_seconds
        timed = ", ".join(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in times.items())
        unit = "step" if self.step_seconds else "matmul of 1024"
        dropped = "".join(f"; {name}: {reason}" for name, reason in self.rejected.items())
        return f"precision {self.choice} ({unit}: {timed}{dropped})"


@contextmanager
def precision_context(precision: Precision, device: str | torch.device) -> Generator[None]:
    """Compute matrix products in `precision` inside the block, forward and backward.

    Both passes belong inside: the backward's products look at the flag of "fp32-onednn" as the
    forward's do. Under "bf16" it makes no difference, each gradient has the dtype of its product.

    Raises:
        ValueError: there is no such precision on this device or in this torch.
    """
    kind = torch.device(device).type
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {PRECISIONS}, got {precision!r}")
    if precision == "fp32-onednn":
        if not _has_onednn(kind):
            raise ValueError(
                f"precision 'fp32-onednn' needs a CPU and torch 2.9 or newer with oneDNN, got "
                f"device {kind!r} and torch {torch.__version__}; use 'fp32'"
            )
        with _onednn_products():
            yield
    else:
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16"):
            yield


def measure_precision(
    model: nn.Module,
    inputs: Int64[Tensor, "batch seq"],
    targets: Int64[Tensor, "batch seq"],
    *,
    rounds: int = 3,
) -> PrecisionReport:
    """Find the precision in which `model` trains fastest on the machine at hand.

    1. Products of growing size drop what is slower than fp32, soon where it is hopeless.
    2. A product in fp64 drops what is wrong.
    3. What is left runs `rounds` forward and backward passes, in turns with fp32; the fastest
       pass counts, and must beat fp32's by a tenth.

    Parameters, their gradients and the state of the random number generators stay untouched.

    Args:
        model: on the device where it will be trained.
        inputs: `(batch, seq)`, a micro batch as in training, or fewer of its rows where one takes
            seconds: there are `rounds` + 1 passes for each candidate that is left.
        targets: `(batch, seq)`.
        rounds: passes for each candidate, after one to warm up.
    """
    device = inputs.device
    rejected: dict[Precision, str] = {}
    matmul_seconds = _screen(device, rejected)
    step_seconds: dict[Precision, float] = {}
    if len(matmul_seconds) > 1:
        step_seconds = _time_in_turns(
            matmul_seconds, lambda: _step(model, inputs, targets), device, rounds
        )
    return PrecisionReport(_fastest(step_seconds), matmul_seconds, step_seconds, rejected)


def _screen(device: torch.device, rejected: dict[Precision, str]) -> dict[Precision, float]:
    """Seconds of a product in each precision that is right and faster than fp32."""
    left: list[Precision] = [
        name for name in PRECISIONS if name != "fp32-onednn" or _has_onednn(device.type)
    ]
    seconds: dict[Precision, float] = {}
    for size, limit in _LADDER.items():
        seconds = _time_in_turns(left, _product(size, device), device, 3)
        for name in left[1:]:
            if (ratio := seconds[name] / seconds["fp32"]) > limit:
                rejected[name] = f"{ratio:.2g} x fp32's time on a matmul of {size}"
        left = [name for name in left if name not in rejected]
    for name in left[1:]:
        if not (error := _matmul_error(name, device)) <= _MAX_ERROR[name]:
            rejected[name] = f"error {error:.1e} against fp64, more than {_MAX_ERROR[name]:.0e}"
    return {name: time for name, time in seconds.items() if name not in rejected}


def _time_in_turns(
    precisions: Iterable[Precision], work: Callable[[], object], device: torch.device, rounds: int
) -> dict[Precision, float]:
    """Least seconds of `work` in each precision; in turns, so that all meet the same weather."""
    least = dict.fromkeys(precisions, float("inf"))
    for is_warmup in [True] + [False] * rounds:
        for precision in least:
            seconds = _seconds(precision, work, device)
            if not is_warmup:
                least[precision] = min(least[precision], seconds)
    return least


def _seconds(precision: Precision, work: Callable[[], object], device: torch.device) -> float:
    with precision_context(precision, device):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        return time.perf_counter() - start


def _fastest(step_seconds: dict[Precision, float]) -> Precision:
    """The fastest precision, fp32 unless it is beaten clearly."""
    if not step_seconds:
        return "fp32"
    best = min(step_seconds, key=lambda name: step_seconds[name])
    return best if step_seconds[best] < _GAIN * step_seconds["fp32"] else "fp32"


def _step(model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """One forward and backward pass; torch.autograd.grad leaves every `.grad` alone."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    cuda = [inputs.device] if inputs.device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.autograd.grad(batch_loss(model, inputs, targets), trained, allow_unused=True)


def _matrices(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, size, size, generator=generator).to(device)
    return first, second


def _product(size: int, device: torch.device) -> Callable[[], Tensor]:
    first, second = _matrices(size, device)
    return lambda: first @ second


def _matmul_error(precision: Precision, device: torch.device) -> float:
    """Relative Frobenius error of a product of 256 x 256 against fp64."""
    first, second = _matrices(256, device)
    with precision_context(precision, device):
        ours = (first @ second).cpu().double()
    exact = first.cpu().double() @ second.cpu().double()
    return float((ours - exact).norm() / exact.norm())


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _has_onednn(device_type: str) -> bool:
    """Whether fp32 products can be sent to oneDNN."""
    backend = torch.backends.mkldnn
    return (
        device_type == "cpu"
        and backend.is_available()
        and hasattr(getattr(backend, "matmul", None), "fp32_precision")
    )


@contextmanager
def _onednn_products() -> Generator[None]:
    backend: Any = torch.backends.mkldnn.matmul  # pyright: ignore[reportAttributeAccessIssue] (set at run time)
    before = backend.fp32_precision
    backend.fp32_precision = "bf16"
    try:
        yield
    finally:
        backend.fp32_precision = before
