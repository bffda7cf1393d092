"""Rotary positions for contexts longer than those that a model was trained on."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from nnparts.checks import is_positive

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
            is_left_out = field.name == "original_context_length" and value is None
            if field.name != "kind" and not is_left_out and not is_positive(value):
                raise ValueError(f"{field.name} must be positive and finite, got {value!r}")
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

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "RopeScaling":
        """The scaling with these fields, as `dataclasses.asdict` gives them.

        Raises:
            ValueError: a field is unknown, or one without a default is missing.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown, missing = sorted(fields.keys() - known), sorted({"kind", "factor"} - fields.keys())
        if unknown or missing:
            raise ValueError(
                f"a RopeScaling has the fields {sorted(known)}, got {unknown=} and {missing=}"
            )
        return cls(**fields)

    @property
    def attention_factor(self) -> float:
        """What both cos and sin are multiplied by: 0.1 ln(factor) + 1 for "yarn" (eq. 22), else 1.

        Queries and keys then grow by it, and scores by its square.
        """
        return 0.1 * math.log(self.factor) + 1 if self.kind == "yarn" else 1.0

    def scale(self, frequencies: Float[Tensor, " pairs"], theta: float) -> Float[Tensor, " pairs"]:
        """The frequencies for the longer context.

        A pair's frequency f becomes k f + (1 - k) f / factor, where k says how far it is kept: 1
        for pairs that turn often within the original context, 0 for those that hardly turn.

        Args:
            frequencies: `(head_dim / 2,)`, radians a position, from fast to slow.
            theta: base that they were made of.
        """
        kept = {"linear": _kept_by_none, "llama3": _kept_by_turns, "yarn": _kept_by_index}
        share = kept[self.kind](self, frequencies, theta)
        return share * frequencies + (1 - share) * frequencies / self.factor


def _kept_by_none(scaling: RopeScaling, frequencies: Tensor, theta: float) -> Tensor:
    """All are divided by the factor."""
    return torch.zeros_like(frequencies)


def _kept_by_turns(scaling: RopeScaling, frequencies: Tensor, theta: float) -> Tensor:
    """From 0 to 1 in the turns within the original context, as in Llama 3.1's published code."""
    assert scaling.original_context_length is not None  # checked when made
    turns = scaling.original_context_length * frequencies / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    return ((turns - low) / (high - low)).clamp(0, 1)


def _kept_by_index(scaling: RopeScaling, frequencies: Tensor, theta: float) -> Tensor:
    """From 1 to 0 in the pair's index, between the pairs that turn beta_fast and beta_slow times.

    The paper's eq. 18 ramps in the turns; its authors' code, by which models were trained, ramps
    in the index between whole pairs, and so do we.
    """
    context, head_dim = scaling.original_context_length, 2 * len(frequencies)
    assert context is not None  # checked when made

    def pair_that_turns(times: float) -> float:
        # Solves context * theta^(-2 i / head_dim) = 2 pi times for i.
        return head_dim * math.log(context / (2 * math.pi * times)) / (2 * math.log(theta))

    first = max(math.floor(pair_that_turns(scaling.beta_fast)), 0)
    last = min(math.ceil(pair_that_turns(scaling.beta_slow)), head_dim - 1)
    index = torch.arange(len(frequencies), dtype=frequencies.dtype, device=frequencies.device)
    width = last - first if last != first else 0.001  # a step
    return 1 - ((index - first) / width).clamp(0, 1)
