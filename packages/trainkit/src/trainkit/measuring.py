"""How a machine trains fastest: found by measuring, never from a model's name.

Processors differ: on one kind bf16 matrix products run at twice the speed of fp32, on another at
a six-hundredth, and one library's fp32 is twice as fast as the other's. So each candidate
multiplies a few matrices first, checked against fp64, and what is left runs a few real steps.
Compiling makes a step faster, too, but takes half a minute: so both are timed and weighed.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from trainkit.batch import Batch
from trainkit.loss import batch_loss, compiled_loss
from trainkit.precision import Precision, has_onednn, precision_context

# Not fp16: that it leaves out updates, and waits for a GPU at each, no timed pass would show.
MEASURED: tuple[Precision, ...] = ("fp32", "fp32-onednn", "bf16")

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


@dataclass(frozen=True)
class CompileReport:
    """What `measure_compile` found, for a number of passes."""

    passes: int
    """Forward and backward passes that were planned."""
    eager_seconds: float
    """Of one pass as it is."""
    compiled_seconds: float
    """Of one pass compiled; infinite where compiling was not tried or failed."""
    compile_seconds: float
    """Of compiling, once."""
    reason: str = ""
    """Why there is no compiled pass; empty where there is one."""

    @property
    def pays(self) -> bool:
        """Whether the passes end sooner compiled, compiling included."""
        compiled = self.compile_seconds + self.passes * self.compiled_seconds
        return compiled < self.passes * self.eager_seconds

    def summary(self) -> str:
        """One line for a log."""
        eager = f"{1e3 * self.eager_seconds:.3g} ms a pass"
        if self.reason:
            return f"not compiled ({eager}; {self.reason})"
        times = f"{1e3 * self.compiled_seconds:.3g} against {eager}"
        return (
            f"{'compiled' if self.pays else 'not compiled'} ({times}, {self.passes:,} passes;"
            f" compiling takes {self.compile_seconds:.0f} s)"
        )


def measure_precision(
    model: nn.Module,
    inputs: Int64[Tensor, "batch seq"],
    targets: Int64[Tensor, "batch seq"],
    *,
    document_ids: Int64[Tensor, "batch seq"] | None = None,
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
        document_ids: `(batch, seq)`, where training gives them: their mask takes another kernel.
        rounds: passes for each candidate, after one to warm up.
    """
    device, batch = inputs.device, Batch(inputs, targets, document_ids)
    rejected: dict[Precision, str] = {}
    matmul_seconds = _screen(device, rejected)
    step_seconds: dict[Precision, float] = {}
    if len(matmul_seconds) > 1:
        step_seconds = _time_in_turns(
            matmul_seconds, lambda: training_pass(batch_loss, model, batch), device, rounds
        )
    return PrecisionReport(_fastest(step_seconds), matmul_seconds, step_seconds, rejected)


def _screen(device: torch.device, rejected: dict[Precision, str]) -> dict[Precision, float]:
    """Seconds of a product in each precision that is right and faster than fp32."""
    left: list[Precision] = [
        name for name in MEASURED if name != "fp32-onednn" or has_onednn(device.type)
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
            seconds = seconds_of(precision, work, device)
            if not is_warmup:
                least[precision] = min(least[precision], seconds)
    return least


def seconds_of(precision: Precision, work: Callable[[], object], device: torch.device) -> float:
    """Seconds of `work` in `precision`, waited for."""
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


def training_pass(loss: Callable[..., Tensor], model: nn.Module, batch: Batch) -> None:
    """One forward and backward pass; torch.autograd.grad leaves every `.grad` alone."""
    inputs, targets, document_ids, mask = batch
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    cuda = [inputs.device] if inputs.device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        value = loss(model, inputs, targets, document_ids=document_ids, mask=mask)
        torch.autograd.grad(value, trained, allow_unused=True)


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


def measure_compile(
    model: nn.Module,
    inputs: Int64[Tensor, "batch seq"],
    targets: Int64[Tensor, "batch seq"],
    *,
    precision: Precision,
    passes: int | None = None,
    planned_seconds: float | None = None,
    document_ids: Int64[Tensor, "batch seq"] | None = None,
    at_least_seconds: float = 120.0,
    rounds: int = 5,
) -> CompileReport:
    """Find whether the planned forward and backward passes of `model` end sooner compiled.

    A compiled step is often twice as fast and takes a minute to make, so it is tried only where
    the passes would take long. What is compiled here serves a `Trainer` of the same process.

    Args:
        model: on the device where it will be trained.
        inputs: `(batch, seq)`, a batch as in training.
        targets: `(batch, seq)`.
        precision: what matrix products are computed in.
        passes: how many are planned; or else
        planned_seconds: the time that they are to fill.
        document_ids: `(batch, seq)`, where training gives them.
        at_least_seconds: where they would take less than this uncompiled, compiling isn't tried.
        rounds: passes that are timed; the fastest counts.

    Raises:
        ValueError: both or neither of `passes` and `planned_seconds` are given.
    """
    if (passes is None) == (planned_seconds is None):
        raise ValueError(
            "what is planned is told by passes or by planned_seconds, one of them, got "
            f"{passes=} and {planned_seconds=}"
        )
    batch = Batch(inputs, targets, document_ids)

    def seconds(loss: Callable[..., Tensor]) -> float:
        return seconds_of(precision, lambda: training_pass(loss, model, batch), inputs.device)

    eager = min([seconds(batch_loss) for _ in range(1 + rounds)][1:])
    if planned_seconds is not None:
        passes = int(planned_seconds / eager)
    assert passes is not None
    if passes * eager < at_least_seconds:
        reason = f"{passes * eager:.0f} s in all are too few to pay for compiling"
        return CompileReport(passes, eager, math.inf, 0.0, reason)
    compiled = compiled_loss(model)
    try:
        first, *others = [seconds(compiled) for _ in range(1 + rounds)]
    except Exception as error:
        # Whatever is missing (as a rule a C++ compiler), a run can do without.
        reason = f"compiling failed: {str(error).strip().splitlines()[0]}"
        return CompileReport(passes, eager, math.inf, 0.0, reason)
    return CompileReport(passes, eager, min(others), first - min(others))
