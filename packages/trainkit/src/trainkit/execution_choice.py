"""The choice of how a run is computed: what is asked for is taken, the rest is measured."""

from typing import Literal, NamedTuple

from torch import nn

from trainkit.batch import Batch
from trainkit.execution import Execution
from trainkit.measuring import measure_compile, measure_precision
from trainkit.precision import Precision


class ExecutionChoice(NamedTuple):
    """What `choose_execution` chose, and why."""

    execution: Execution
    """Of the device that the batch is on."""
    summary: str
    """One line for a log: what was asked, what was measured."""


def choose_execution(
    model: nn.Module,
    batch: Batch,
    *,
    passes: int | None = None,
    planned_seconds: float | None = None,
    precision: Precision | Literal["auto"] = "auto",
    compile: bool | Literal["auto"] = "auto",
    peak_flops: float | None = None,
) -> ExecutionChoice:
    """Choose the precision of `model`'s products, and whether to compile its steps.

    What is "auto" is found by `measure_precision`, then by `measure_compile` in that precision; so
    the choice holds on the machine at hand, and costs a few passes there (and half a minute of
    compiling where many passes are planned). Model, gradients and random state stay untouched.

    Args:
        model: on the device where it will be trained, in the mode it will be trained in.
        batch: a micro batch as in training, its document ids included, on the same device.
        passes: forward and backward passes that are planned: updates times micro batches; or else
        planned_seconds: the time that they are to fill.
        precision: the one to take, or "auto".
        compile: whether to compile, or "auto".
        peak_flops: for `Execution`; measured by nobody.

    Raises:
        ValueError: as `Execution` and `measure_compile`.
    """
    inputs, targets, document_ids, _ = batch
    reasons: list[str] = []
    if precision == "auto":
        measured = measure_precision(model, inputs, targets, document_ids=document_ids)
        precision = measured.choice
        reasons.append(measured.summary())
    else:
        reasons.append(f"precision {precision} (as asked)")
    if compile == "auto":
        compiled = measure_compile(
            model,
            inputs,
            targets,
            document_ids=document_ids,
            precision=precision,
            passes=passes,
            planned_seconds=planned_seconds,
        )
        compile = compiled.pays
        reasons.append(compiled.summary())
    else:
        reasons.append(f"{'compiled' if compile else 'not compiled'} (as asked)")
    device = str(inputs.device)
    execution = Execution(device, precision, compile, peak_flops)
    return ExecutionChoice(execution, f"{device}: {'; '.join(reasons)}")
