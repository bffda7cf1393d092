"""How a run is computed, as against what it learns."""

from dataclasses import dataclass

from trainkit.precision import PRECISIONS, Precision


@dataclass(frozen=True)
class Execution:
    """How the steps of a run are computed: chosen for a machine, then kept for the whole run.

    Each choice of them changes the last digits of every number, so a run that is resumed keeps it.

    Raises:
        ValueError: there is no such precision, or a number isn't positive.
    """

    device: str = "cpu"
    """Where the model is and the batches go, in torch's words; without a number ("cuda"), the one
    that the model is on."""
    precision: Precision = "fp32"
    """What matrix products are computed in; `measure_precision` finds the fastest, fp16 aside."""
    compile: bool = False
    """Whether torch.compile compiles the step; `measure_compile` finds whether that pays."""
    peak_flops: float | None = None
    """Operations a second of the device at its best, in this precision: what `mfu` in the metrics
    is a share of; it changes no number. None: no `mfu`."""
    sequences_at_once: int | None = None
    """Sequences computed at once, where these are fewer than the config's micro batch; what is
    learnt does not depend on it. `measure_parts` finds whether it pays. None: the config's."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, got {self.precision!r}")
        if self.sequences_at_once is not None and self.sequences_at_once < 1:
            raise ValueError(
                f"sequences_at_once must be at least 1 or None, got {self.sequences_at_once}"
            )
        if self.peak_flops is not None and not self.peak_flops > 0:
            raise ValueError(f"peak_flops must be above 0 or None, got {self.peak_flops}")
