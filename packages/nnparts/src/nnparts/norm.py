"""Normalization by the root mean square."""

import torch
from jaxtyping import Float
from torch import Tensor

from nnparts.kernels import Impl, select_kernels


class RMSNorm(torch.nn.Module):
    """RMSNorm(x)_i = x_i / sqrt(mean_j x_j^2 + eps) * weight_i.

    Zhang and Sennrich 2019, eq. 4 (https://arxiv.org/abs/1910.07467). Computed in fp32 at least,
    returned in the dtype of `x`. The gains `weight`, `(d_model,)`, begin at 1.

    Args:
        d_model: width of the input.
        eps: added to the mean square, in its unit.
        device: where the gains lie; torch's default if None.
        dtype: of the gains; torch's default if None.
        impl: what computes it, see `kernels`.
    """

    def __init__(
        self,
        d_model: int,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        impl: Impl = "fast",
    ) -> None:
        super().__init__()
        self.eps = eps
        self.kernels = select_kernels(impl)
        self.weight = torch.nn.Parameter(torch.empty(d_model, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every gain to 1."""
        torch.nn.init.ones_(self.weight)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """`(..., d_model)` -> `(..., d_model)`."""
        return self.kernels.rms_norm(x, self.weight, self.eps)
