"""The linear map."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nnparts.init import truncated_normal_


class Linear(torch.nn.Module):
    """y = x W^T, without a bias.

    W is stored as `weight`, `(out_features, in_features)`, so that a row is what one output looks
    for. It begins as N(0, 2 / (in_features + out_features)), which keeps the size of activations
    and of gradients alike (Glorot and Bengio 2010, eq. 12), truncated at 3 standard deviations.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        device: where the weight lies; torch's default if None.
        dtype: of the weight; torch's default if None.
        generator: source of the initial draw; torch's global one if None.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        weight = torch.empty(out_features, in_features, device=device, dtype=dtype)
        self.weight = torch.nn.Parameter(weight)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weight anew."""
        std = math.sqrt(2 / (self.in_features + self.out_features))
        truncated_normal_(self.weight, std, generator)

    def forward(self, x: Float[Tensor, "... in_features"]) -> Float[Tensor, "... out_features"]:
        """`(..., in_features)` -> `(..., out_features)`."""
        return x @ self.weight.T
