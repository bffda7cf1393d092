"""The orthogonal matrix that is nearest to another, nearly, by matrix products alone."""

import torch
from jaxtyping import Float
from torch import Tensor

# Jordan et al. 2024: the slope at 0, a = 3.4445, is as great as it gets while what becomes of the
# singular values stays within 0.3 of 1. (15/8, -10/8, 3/8) would converge to 1, in twice the steps.
QUINTIC = (3.4445, -4.7750, 2.0315)


@torch.no_grad()
def newton_schulz(
    matrix: Float[Tensor, "rows cols"],
    *,
    steps: int = 5,
    coefficients: tuple[float, float, float] = QUINTIC,
    eps: float = 1e-7,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "rows cols"]:
    """Bring all singular values of `matrix` near 1, and leave its singular vectors as they are.

        X <- matrix / max(|matrix|_F, eps)
        X <- a X + b (X X^T) X + c (X X^T)^2 X          `steps` times

    With matrix = U S V^T a step takes every singular value s to a s + b s^3 + c s^5, so the result
    is U S' V^T: after 5 steps S' is within 0.3 to 1.3 wherever S / |S| was above some 1e-3.
    Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/).

    Args:
        matrix: `(rows, cols)`.
        steps: how often the polynomial is applied.
        coefficients: (a, b, c).
        eps: least divisor, in the unit of `matrix`.
        dtype: what is computed in; that of `matrix` if None. bf16 is precise enough.

    Returns:
        `(rows, cols)`, in `dtype`.
    """
    a, b, c = coefficients
    x = matrix.to(dtype or matrix.dtype)
    is_tall = x.shape[0] > x.shape[1]
    if is_tall:
        x = x.T  # X X^T then has the shorter side
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x
