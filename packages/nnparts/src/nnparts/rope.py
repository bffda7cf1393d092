"""Rotary position embedding: a position is a rotation."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nnparts.checks import require_ids_below
from nnparts.rope_scaling import RopeScaling


class RotaryPositionalEmbedding(torch.nn.Module):
    """Rotate pair i, (x_2i, x_2i+1), at position p by the angle p * theta^(-2i / d_k).

    y_2i   = x_2i cos - x_2i+1 sin
    y_2i+1 = x_2i sin + x_2i+1 cos

    Su et al. 2021, eq. 34 (https://arxiv.org/abs/2104.09864). The dot product of a rotated query
    and a rotated key depends on their distance alone. Neighbours make a pair, as in the paper and
    Llama's own code; Hugging Face pairs i with i + d_k / 2 and permutes the weights to match.

    The tables `cos` and `sin`, `(max_seq_len, d_k / 2)`, are fp32 even in a model of a narrower
    dtype (in bf16, with 8 bits, neighbours would share a slow pair's angle) and stay out of the
    state dict.

    Args:
        theta: base of the geometric series of frequencies, no unit.
        d_k: width of one head, even.
        max_seq_len: number of positions.
        device: where the tables lie; torch's default if None.
        dtype: of the tables if it is wider than fp32; else they are fp32.
        scaling: stretches the positions past a trained context; None: not at all.

    Raises:
        ValueError: `d_k` is odd, or an argument isn't positive.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        theta: float,
        d_k: int,
        max_seq_len: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        scaling: RopeScaling | None = None,
    ) -> None:
        super().__init__()
        if not (theta > 0 and math.isfinite(theta) and d_k > 0 and max_seq_len > 0):
            raise ValueError(
                "RoPE needs a positive theta, d_k and max_seq_len,"
                f" got {theta=}, {d_k=} and {max_seq_len=}"
            )
        if d_k % 2:
            raise ValueError(f"RoPE turns pairs: d_k must be even, got {d_k=}")
        self.theta, self.d_k, self.max_seq_len = theta, d_k, max_seq_len
        self.scaling = scaling
        self.dtype = torch.promote_types(dtype or torch.float32, torch.float32)
        self._build_tables(torch.empty(0, device=device).device)

    def _build_tables(self, device: torch.device) -> None:
        # fp64 on the CPU: at position 100,000 an fp32 angle is off by 0.006, and MPS has no fp64.
        exponents = torch.arange(0, self.d_k, 2, dtype=torch.float64, device="cpu") / self.d_k
        positions = torch.arange(self.max_seq_len, dtype=torch.float64, device="cpu")
        frequencies, factor = self.theta**-exponents, 1.0
        if self.scaling is not None:
            frequencies = self.scaling.scale(frequencies, self.theta)
            factor = self.scaling.attention_factor
        angles = torch.outer(positions, frequencies)
        for name, table in (("cos", angles.cos()), ("sin", angles.sin())):
            table = (factor * table).to(self.dtype).to(device)
            self.register_buffer(name, table, persistent=False)

    def _apply(
        self, fn: Callable[[Tensor], Tensor], recurse: bool = True
    ) -> "RotaryPositionalEmbedding":
        """Follow the model to another device, but not to another dtype.

        `.to()`, `.half()` and `.to_empty()` all come through here. Torch's own way would let the
        first two round the tables, and the last leave them uninitialised after a start on meta.
        """
        device = fn(torch.empty(0, device=self.cos.device)).device
        if device != self.cos.device:  # once, however many layers share this module
            self._build_tables(device)
        return self

    def forward(
        self,
        x: Float[Tensor, "... seq d_k"],
        token_positions: Int[Tensor, "... seq"] | None = None,
        *,
        start: int = 0,
    ) -> Float[Tensor, "... seq d_k"]:
        """Rotate queries or keys.

        Args:
            x: `(..., seq, d_k)`.
            token_positions: `(..., seq)`, int32 or int64, leading dimensions broadcast to those
                of `x`; None means `start, start + 1, ...`.
            start: first position where `token_positions` is None.

        Returns:
            `(..., seq, d_k)` in the dtype of `x`.

        Raises:
            IndexError: a given position is outside [0, max_seq_len) (checked on the CPU alone).
            ValueError: more positions than `max_seq_len`, or a shape that doesn't fit.
        """
        cos, sin = self._tables_at(x, token_positions, start)
        even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
        rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
        return rotated.flatten(-2).to(x.dtype)

    def _tables_at(
        self, x: Tensor, token_positions: Tensor | None, start: int
    ) -> tuple[Tensor, Tensor]:
        """The rows of both tables, each `(..., seq, d_k / 2)`."""
        seq, d_k = x.shape[-2:]
        if d_k != self.d_k:
            raise ValueError(f"this RoPE rotates {self.d_k} numbers a head, got {d_k}")
        if token_positions is None:
            if not 0 <= start <= self.max_seq_len - seq:
                raise ValueError(
                    f"RoPE has {self.max_seq_len} positions, got {seq} vectors from {start} on"
                )
            return self.cos[start : start + seq], self.sin[start : start + seq]
        if token_positions.shape[-1] != seq:
            raise ValueError(
                f"token_positions must give each of {seq} vectors its place,"
                f" got shape {tuple(token_positions.shape)}"
            )
        require_ids_below(self.max_seq_len, token_positions, "token_positions")
        rows, shape = token_positions.flatten(), (*token_positions.shape, self.d_k // 2)
        cos, sin = (table.index_select(0, rows).view(shape) for table in (self.cos, self.sin))
        return cos, sin
