"""The choice of how a run is computed: what is asked for is taken, the rest is measured."""

import math
from typing import Literal, NamedTuple

from torch import nn

from trainkit.batch import Batch
from trainkit.execution import Execution
from trainkit.freed_memory import give_back_freed_memory
from trainkit.measuring import measure_compile, measure_precision
from trainkit.parts import measure_parts, part_size
from trainkit.precision import Precision


class ExecutionChoice(NamedTuple):
    """What `choose_execution` chose, and why."""

    execution: Execution
    """Of the kind of device that the batch is on: which one of them is not kept, for each rank, and
    the machine that a run goes on on, has its own."""
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
    sequences_at_once: int | Literal["auto"] = "auto",
    peak_flops: float | None = None,
) -> ExecutionChoice:
    """Choose the precision of `model`'s products, how much is computed at once, whether compiled.

    What is "auto" is found by `measure_precision`, then by `measure_parts` and `measure_compile`
    in that precision; so the choice holds on the machine at hand, and costs a few passes there
    (and half a minute of compiling where many passes are planned). Model, gradients and random
    state stay untouched, and memory that the passes took is given back to the system.

    Args:
        model: on the device where it will be trained, in the mode it will be trained in.
        batch: a micro batch as in training, its document ids included, on the same device.
        passes: forward and backward passes that are planned: updates times micro batches; or else
        planned_seconds: the time that they are to fill.
        precision: the one to take, or "auto".
        compile: whether to compile, or "auto".
        sequences_at_once: of `batch`, or "auto".
        peak_flops: for `Execution`; measured by nobody.

    Raises:
        ValueError: as `Execution` and `measure_compile`.
    """
    reasons: list[str] = []
    rows = len(batch.inputs)
    at_once = part_size(batch) if sequences_at_once == "auto" else min(sequences_at_once, rows)
    if at_once < 1:
        raise ValueError(f"sequences_at_once must be at least 1, got {sequences_at_once}")
    part = batch.split(at_once)[0]
    if precision == "auto":
        measured = measure_precision(
            model, part.inputs, part.targets, document_ids=part.document_ids
        )
        precision = measured.choice
        reasons.append(measured.summary())
    else:
        reasons.append(f"precision {precision} (as asked)")
    if at_once < rows:
        if sequences_at_once == "auto":
            parts = measure_parts(model, batch, precision)
            at_once, part = parts.choice, batch.split(parts.choice)[0]
            reasons.append(parts.summary())
        else:
            reasons.append(f"{at_once} sequences at once (as asked)")
    if compile == "auto":
        compiled = measure_compile(
            model,
            part.inputs,
            part.targets,
            document_ids=part.document_ids,
            precision=precision,
            passes=None if passes is None else passes * math.ceil(rows / at_once),
            planned_seconds=planned_seconds,
        )
        compile = compiled.pays
        reasons.append(compiled.summary())
    else:
        reasons.append(f"{'compiled' if compile else 'not compiled'} (as asked)")
    give_back_freed_memory()
    device = batch.inputs.device
    fewer = at_once if at_once < rows else None
    execution = Execution(device.type, precision, compile, peak_flops, fewer)
    return ExecutionChoice(execution, f"{device}: {'; '.join(reasons)}")
