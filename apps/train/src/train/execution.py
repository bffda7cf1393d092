"""How a run is computed: chosen once, by measuring, and kept for the whole of the run."""

from collections.abc import Callable

from nnparts import TransformerLM
from trainkit import Execution, TokenDataset, measure_compile, measure_precision

from train.config import RunConfig


def choose_execution(
    config: RunConfig,
    model: TransformerLM,
    data: TokenDataset,
    device: str,
    report: Callable[[str], None],
) -> Execution:
    """Picks precision and compiling for `model` on `device`, reporting a line.

    What `config` names is taken; what it leaves at "auto" is measured by a few real steps. The
    model, its gradients and the random state are as before afterwards.
    """
    training = config.training
    batch = data.batch(
        training.seed, 0, training.micro_batch_size, config.model.context_length, device
    )
    inputs, targets = batch.inputs, batch.targets
    precision, reasons = config.precision, [f"precision {config.precision} (as asked)"]
    if precision == "auto":
        measured = measure_precision(model, inputs, targets)
        precision, reasons = measured.choice, [measured.summary()]
    is_compiled = config.compile == "on"
    if config.compile == "auto":
        passes = training.max_steps * training.gradient_accumulation_steps
        compiled = measure_compile(model, inputs, targets, precision=precision, passes=passes)
        is_compiled = compiled.pays
        reasons.append(compiled.summary())
    else:
        reasons.append(f"compile {config.compile} (as asked)")
    report(f"{device}: {'; '.join(reasons)}")
    return Execution(
        device=device, precision=precision, compile=is_compiled, peak_flops=config.peak_flops
    )
