"""What autocast would compute a product in, for those who call it by themselves."""

import torch
from torch import Tensor


def product_dtype(x: Tensor) -> torch.dtype:
    """What a product with `x` is computed in: autocast's dtype where there is autocast."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
