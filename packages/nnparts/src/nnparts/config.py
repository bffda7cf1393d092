"""The numbers that define a transformer."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from nnparts.feed_forward import default_d_ff


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a `TransformerLM`, checked when made.

    Attributes:
        vocab_size: number of token ids.
        context_length: most positions a sequence may have.
        d_model: width of the residual stream.
        num_layers: number of blocks.
        num_heads: heads of attention in each; d_model / num_heads must be whole and even.
        d_ff: width inside the feed-forward networks; None is replaced by `default_d_ff(d_model)`.
        rope_theta: base of RoPE's frequencies, no unit.

    Raises:
        ValueError: a field, or two together, make no model; the message names them.
    """

    vocab_size: int
    context_length: int
    d_model: int
    num_layers: int
    num_heads: int
    d_ff: int | None = None
    rope_theta: float = 10_000.0

    def __post_init__(self) -> None:
        """Fill in `d_ff`, then check every field."""
        for name in ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff"):
            count = getattr(self, name)
            if name == "d_ff" and count is None:
                # Here, not when used: a config that was saved then keeps its meaning.
                object.__setattr__(self, name, default_d_ff(self.d_model))
            elif type(count) is not int or count < 1:
                raise ValueError(f"{name} must be a positive integer, got {count!r}")
        if self.d_model % self.num_heads or self.head_dim % 2:
            raise ValueError(
                "d_model must be divisible by num_heads, with an even quotient for RoPE,"
                f" got d_model={self.d_model} and num_heads={self.num_heads}"
            )
        if not (self.rope_theta > 0 and math.isfinite(self.rope_theta)):
            raise ValueError(f"rope_theta must be positive and finite, got {self.rope_theta}")

    @property
    def head_dim(self) -> int:
        """Width of one head: d_model / num_heads."""
        return self.d_model // self.num_heads

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "TransformerConfig":
        """The config that `to_dict` described.

        Raises:
            ValueError: a field is unknown, or one without a default is missing.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(fields.keys() - known.keys())
        required = {name for name, field in known.items() if field.default is dataclasses.MISSING}
        missing = sorted(required - fields.keys())
        if unknown or missing:
            raise ValueError(
                f"a TransformerConfig has the fields {sorted(known)}, got {unknown=} and {missing=}"
            )
        return cls(**fields)
