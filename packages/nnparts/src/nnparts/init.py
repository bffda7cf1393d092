"""How weights begin."""

import torch
from torch import Tensor

TRUNCATION = 3.0  # standard deviations


@torch.no_grad()
def truncated_normal_(weight: Tensor, std: float, generator: torch.Generator | None = None) -> None:
    """Fill `weight` with draws from N(0, std^2), redrawn where beyond `TRUNCATION * std`.

    Drawn in fp32 and, where a generator is given, on the generator's device: one seed then means
    the same weights in every dtype (rounded) and on every device. Torch's global generator is used
    if none is given. A weight on the meta device is left alone.
    """
    if weight.is_meta:
        return
    device = weight.device if generator is None else generator.device
    draw = torch.empty(weight.shape, dtype=torch.float32, device=device)
    bound = TRUNCATION * std
    torch.nn.init.trunc_normal_(draw, std=std, a=-bound, b=bound, generator=generator)
    weight.copy_(draw)
