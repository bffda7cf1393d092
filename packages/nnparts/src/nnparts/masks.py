"""Who may look at whom: boolean masks, True where a query may look at a key.

Every mask is `(..., queries, keys)` for `functional.scaled_dot_product_attention`; what must hold
together is joined by `&`. None stands for the causal mask alone wherever a module takes a mask:
kernels have a shorter way for that one than to be handed it.
"""

import torch
from jaxtyping import Bool
from torch import Tensor


def causal_mask(
    queries: int, keys: int, device: torch.device | str | None = None
) -> Bool[Tensor, "queries keys"]:
    """The mask under which the last `queries` of `keys` positions look at no later one.

    mask[i, j] = j <= i + keys - queries. Not cached: 256 x 256 take 0.05 ms to build, the attention
    of 8 sequences and 16 heads under them 80 ms.

    Returns:
        `(queries, keys)`, True where a query may look.
    """
    everywhere = torch.ones(queries, keys, dtype=torch.bool, device=device)
    return everywhere.tril(diagonal=keys - queries)
