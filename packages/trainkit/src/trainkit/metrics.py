"""What a `Trainer` logs besides the loss, in the words of its docstring."""

from nnparts import TransformerConfig
from nnparts.accounting import model_flops_utilization

from trainkit.clock import Lap
from trainkit.evaluate import EvalResult
from trainkit.execution import Execution
from trainkit.peak_memory import peak_memory_bytes


def cost_metrics(
    lap: Lap,
    wait_seconds: float,
    *,
    tokens_per_step: int,
    shape: TransformerConfig,
    execution: Execution,
    num_ranks: int = 1,
) -> dict[str, float]:
    """What the updates of `lap` took; `wait_seconds` of it were spent waiting for batches.

    The tokens are those of all ranks; a device's share of its peak is that of its own tokens.
    """
    speed = lap.steps * tokens_per_step / lap.seconds
    costs = {"tokens_per_second": speed, "data_wait_share": wait_seconds / lap.seconds}
    if (memory := peak_memory_bytes(execution.device)) is not None:
        costs["peak_memory_bytes"] = memory
    if (peak_flops := execution.peak_flops) is not None:
        costs["mfu"] = model_flops_utilization(
            shape, tokens_per_second=speed / num_ranks, peak_flops=peak_flops
        )
    return costs


def evaluation_metrics(prefix: str, result: EvalResult) -> dict[str, float]:
    """The loss, and bits a byte where they are known, under names that begin with `prefix`."""
    metrics = {f"{prefix}_loss": result.loss}
    if result.bits_per_byte is not None:
        metrics[f"{prefix}_bits_per_byte"] = result.bits_per_byte
    return metrics
