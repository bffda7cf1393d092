"""Rotary positions for contexts longer than those that a model was trained on."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["linear", "llama3", "yarn"]


@dataclass(frozen=True)
class RopeScaling:
    """How RoPE's frequencies are changed so that a model reads `factor` times further.

    Attributes:
        kind: "linear" (Chen et al. 2023, https://arxiv.org/abs/2306.15595) divides every frequency
            by `factor`; "llama3" (Llama 3.1) the slow ones alone; "yarn" (Peng et al. 2023,
            https://arxiv.org/abs/2309.00071) blends the two, and sharpens attention.
        factor: how many times longer the context becomes, at least 1.
        original_context_length: positions that the model was trained on ("llama3", "yarn").
        low_freq_factor: "llama3": waves longer than original_context_length / this are slow.
        high_freq_factor: "llama3": waves shorter than original_context_length / this are fast.
        beta_fast: "yarn": turns within the original context from which on a pair is fast.
        beta_slow: "yarn": turns within it below which a pair is slow.

    Raises:
        ValueError: a field, or two together, make no scaling; the message names them.
    """

    kind: Kind
    factor: float
    original_context_length: int | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0

    def __post_init__(self) -> None:
        """Check every field, then those that belong together."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {get_args(Kind)}, got {self.kind!r}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "kind" and value is not None and not 0 < value < math.inf:
                raise ValueError(f"{field.name} must be positive and finite, got {value}")
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, got {self.factor}")
        if self.kind != "linear" and self.original_context_length is None:
            raise ValueError(f"kind={self.kind!r} needs original_context_length, got None")
        if self.low_freq_factor >= self.high_freq_factor:
            raise ValueError(
                "low_freq_factor must be below high_freq_factor, got"
                f" {self.low_freq_factor} and {self.high_freq_factor}"
            )
        if self.beta_slow >= self.beta_fast:
            raise ValueError(
                f"beta_slow must be below beta_fast, got {self.beta_slow} and {self.beta_fast}"
            )
