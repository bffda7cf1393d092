"""The position-wise feed-forward networks: SwiGLU with three matrices, the plain one with two."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from nnparts.kernels import Impl, select_kernels
from nnparts.linear import Linear

Activation = Literal["silu", "gelu", "relu2"]


def default_d_ff(d_model: int) -> int:
    """8/3 d_model, rounded to the nearest multiple of 64 (halves up), at least 64.

    With 8/3 the three matrices of a SwiGLU hold the 8 d_model^2 weights that the two of a plain
    network with d_ff = 4 d_model would; multiples of 64 suit the matrix units. 512 gives 1,344.
    """
    return max(64, (d_model + 12) // 24 * 64)  # 8/3 d_model / 64 = d_model / 24


class SwiGLU(torch.nn.Module):
    """FFN(x) = W2 (SiLU(W1 x) * W3 x).

    Shazeer 2020, eq. 6 (https://arxiv.org/abs/2002.05202): its W is `w1`, its V `w3`.

    Args:
        d_model: width of input and output.
        d_ff: width between; `default_d_ff(d_model)` if None.
        device: where the weights lie; torch's default if None.
        dtype: of the weights; torch's default if None.
        generator: source of the initial draws; torch's global one if None.
        impl: what computes it, see `kernels`.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
        impl: Impl = "fast",
    ) -> None:
        super().__init__()
        d_ff = default_d_ff(d_model) if d_ff is None else d_ff
        self.w1 = Linear(d_model, d_ff, device, dtype, generator=generator)
        self.w2 = Linear(d_ff, d_model, device, dtype, generator=generator)
        self.w3 = Linear(d_model, d_ff, device, dtype, generator=generator)
        self.kernels = select_kernels(impl)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """`(..., d_model)` -> `(..., d_model)`."""
        return self.w2(self.kernels.swiglu(self.w1(x), self.w3(x)))


class FeedForward(torch.nn.Module):
    """FFN(x) = W2 f(W1 x).

    Vaswani et al. 2017, eq. 2 (https://arxiv.org/abs/1706.03762), without biases and with another
    f than its ReLU.

    Args:
        d_model: width of input and output.
        d_ff: width between; 4 d_model if None.
        activation: f, "silu", "gelu" (exact) or "relu2", the squared ReLU.
        device: where the weights lie; torch's default if None.
        dtype: of the weights; torch's default if None.
        generator: source of the initial draws; torch's global one if None.
        impl: what computes it, see `kernels`.

    Raises:
        ValueError: there is no such activation.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        activation: Activation = "gelu",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
        impl: Impl = "fast",
    ) -> None:
        super().__init__()
        if activation not in get_args(Activation):
            raise ValueError(
                f"activation must be one of {get_args(Activation)}, got {activation!r}"
            )
        d_ff = 4 * d_model if d_ff is None else d_ff
        self.w1 = Linear(d_model, d_ff, device, dtype, generator=generator)
        self.w2 = Linear(d_ff, d_model, device, dtype, generator=generator)
        self.kernels = select_kernels(impl)
        self.activation = getattr(self.kernels, activation)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """`(..., d_model)` -> `(..., d_model)`."""
        return self.w2(self.activation(self.w1(x)))
