"""From operations to time: how long a training takes, what it costs, how well a device is used."""

from dataclasses import dataclass

from nnparts.accounting.flops import training_flops
from nnparts.config import TransformerConfig

_SECONDS_PER_HOUR = 3_600


@dataclass(frozen=True)
class TrainingTime:
    """What a training takes.

    Attributes:
        flops: of all steps, forward and backward.
        seconds: on all devices together, side by side.
        device_hours: hours times devices, the unit that is paid for.
    """

    flops: int
    seconds: float
    device_hours: float

    @property
    def days(self) -> float:
        """`seconds`, in days."""
        return self.seconds / (24 * _SECONDS_PER_HOUR)

    def cost(self, price_per_hour: float) -> float:
        """Device hours times the price of one, in the price's currency."""
        return self.device_hours * price_per_hour


def training_time(
    config: TransformerConfig,
    *,
    batch_size: int,
    num_steps: int,
    peak_flops: float,
    mfu: float = 0.5,
    context_length: int | None = None,
    num_devices: int = 1,
) -> TrainingTime:
    """Seconds = num_steps training_flops / (num_devices peak_flops mfu).

    The optimizer is left out, as in the definition of MFU: AdamW's 14 operations a parameter
    are to the 6 a parameter *and token* of the passes as nothing.

    Args:
        config: the model.
        batch_size: sequences a step, on all devices together.
        num_steps: optimizer steps.
        peak_flops: operations a second of one device at its best, in the precision used.
        mfu: share of them that the training reaches, in (0, 1].
        context_length: tokens in each sequence; the config's own if None.
        num_devices: how many compute side by side.

    Raises:
        ValueError: a number isn't positive, or `mfu` is above 1.
    """
    if num_steps < 1 or num_devices < 1 or not peak_flops > 0 or not 0 < mfu <= 1:
        raise ValueError(
            "a positive num_steps, num_devices and peak_flops are needed, and mfu in (0, 1],"
            f" got {num_steps=}, {num_devices=}, {peak_flops=} and {mfu=}"
        )
    flops = num_steps * training_flops(config, batch_size, context_length)
    device_seconds = flops / (peak_flops * mfu)
    return TrainingTime(flops, device_seconds / num_devices, device_seconds / _SECONDS_PER_HOUR)


def model_flops_utilization(
    config: TransformerConfig,
    *,
    tokens_per_second: float,
    peak_flops: float,
    context_length: int | None = None,
) -> float:
    """MFU = tokens_per_second training_flops_per_token / peak_flops.

    Chowdhery et al. 2022, PaLM, appendix B (https://arxiv.org/abs/2204.02311): what a step needs,
    not what was computed, so that recomputing (checkpointed blocks) doesn't count as use. With
    attention in full, as there.

    Args:
        config: the model.
        tokens_per_second: measured, of training.
        peak_flops: operations a second of all devices together at their best.
        context_length: tokens in each sequence; the config's own if None.

    Returns:
        A share of the peak; above 1 if the peak was given for another precision.

    Raises:
        ValueError: `peak_flops` isn't positive, or as in `counts.sizes`.
    """
    if not peak_flops > 0:
        raise ValueError(f"peak_flops must be above 0, got {peak_flops}")
    seq = config.context_length if context_length is None else context_length
    return tokens_per_second * training_flops(config, 1, seq) / seq / peak_flops
