"""The rows of a batch while they are written."""

import torch
from jaxtyping import Int64
from torch import Tensor


class TokenRows:
    """Token ids of a batch, to which every row adds one at a time.

    They are put together when somebody asks: with a cache nobody looks back at each step, and a
    copy of all for each token would be quadratic.

    Attributes:
        last: `(batch,)`, the newest of every row.
    """

    def __init__(self, token_ids: Int64[Tensor, "batch seq"]) -> None:
        self._joined, self._added = token_ids, list[Tensor]()
        self.last: Int64[Tensor, " batch"] = token_ids[:, -1]

    def __len__(self) -> int:
        """How many a row has."""
        return self._joined.shape[1] + len(self._added)

    def append(self, token_ids: Int64[Tensor, " batch"]) -> None:
        """Add one to every row."""
        self._added.append(token_ids)
        self.last = token_ids

    @property
    def token_ids(self) -> Int64[Tensor, "batch seq"]:
        """All of them."""
        if self._added:
            self._joined = torch.cat([self._joined, torch.stack(self._added, dim=1)], dim=1)
            self._added.clear()
        return self._joined
