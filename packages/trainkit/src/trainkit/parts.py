"""How many sequences are computed at once: on a CPU fewer may be faster, and need less memory.

Between its matrix products a training step reads and writes every activation several times. Of 32
sequences of 256 tokens each is larger than a cache, and larger than what the allocator keeps, so
its pages are asked for anew each time; of 8 it is neither, and no product is slower for it.
"""

from dataclasses import dataclass

from torch import nn

from trainkit.batch import Batch
from trainkit.loss import batch_loss
from trainkit.measuring import seconds_of, training_pass
from trainkit.precision import Precision

_TOKENS = 2_048
"""As many as a part may have. ts17m at two threads of a Zen 5, tokens a second in fp32 by oneDNN:
8,192 at once 2,490, 4,096 2,640, 2,048 2,750, 1,024 2,740; compiled in bf16, where a part reads all
weights once more, 4,200, 4,260, 4,360, 4,080. Memory falls from 3.4 to 1.9 and 2.4 to 1.7 GB."""
_NOISE = 1.03
_ROUNDS = 3


@dataclass(frozen=True)
class PartsReport:
    """What `measure_parts` found."""

    choice: int
    """Sequences to compute at once."""
    seconds: dict[int, float]
    """Of a sequence, by how many were computed at once."""

    def summary(self) -> str:
        """One line for a log."""
        times = ", ".join(f"{size}: {1e3 * each:.3g} ms" for size, each in self.seconds.items())
        return f"{self.choice} sequences at once (each, of {times})"


def part_size(batch: Batch) -> int:
    """Sequences of the largest part of `batch` that is worth trying: all, but for large ones.

    Parts are alike, so that a compiled step is compiled once.
    """
    rows, seq = batch.inputs.shape
    if batch.inputs.device.type != "cpu":  # other devices are the faster the more they are given
        return rows
    fitting = (size for size in range(rows, 0, -1) if rows % size == 0 and size * seq <= _TOKENS)
    return next(fitting, rows)


def measure_parts(model: nn.Module, batch: Batch, precision: Precision) -> PartsReport:
    """Find whether `batch` is computed faster in parts of `part_size` or at once.

    A part is timed beside one of twice its size: where that is faster, all are computed at once.
    Of what is as fast, within noise, the part is chosen, for it needs less memory; the whole would
    need all of it for the trial. Parameters, their gradients and the state of the random number
    generators stay untouched.

    Args:
        model: where and in the mode that it will be trained in.
        batch: a micro batch as in training.
        precision: what matrix products are computed in.
    """
    rows, device, part = len(batch.inputs), batch.inputs.device, part_size(batch)
    sizes = (part, min(2 * part, rows))
    parts = {size: batch.split(size)[0] for size in sizes}
    least = dict.fromkeys(parts, float("inf"))
    for is_warmup in [True] + [False] * _ROUNDS:
        for size, some in parts.items():
            each = seconds_of(precision, lambda b=some: training_pass(batch_loss, model, b), device)
            if not is_warmup:
                least[size] = min(least[size], each / size)
    is_worthwhile = least[part] <= _NOISE * least[max(sizes)]
    return PartsReport(part if is_worthwhile else rows, least)
