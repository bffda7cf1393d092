"""The table that turns token ids into vectors."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nnparts.checks import require_ids_below
from nnparts.init import truncated_normal_


class Embedding(torch.nn.Module):
    """Row `token_id` of a learned table, `(num_embeddings, embedding_dim)`, for every id.

    The table is `weight` and begins as N(0, std^2) truncated at 3 standard deviations.

    Args:
        num_embeddings: rows of the table: the size of the vocabulary.
        embedding_dim: width of a row: d_model.
        device: where the table lies; torch's default if None.
        dtype: of the table; torch's default if None.
        std: standard deviation of the initial draw.
        generator: source of the initial draw; torch's global one if None.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        std: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.std = std
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        weight = torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
        self.weight = torch.nn.Parameter(weight)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the table anew."""
        truncated_normal_(self.weight, self.std, generator)

    def forward(self, token_ids: Int[Tensor, "..."]) -> Float[Tensor, "... embedding_dim"]:
        """`(...)`, int32 or int64 -> `(..., embedding_dim)`.

        Raises:
            IndexError: an id is outside [0, num_embeddings) (checked on the CPU alone).
        """
        require_ids_below(self.num_embeddings, token_ids, "token_ids")
        # index_select, not weight[token_ids]: its backward is four times faster on a CPU, and it
        # refuses a negative id, where indexing would count from the end.
        rows = self.weight.index_select(0, token_ids.flatten())
        return rows.view(*token_ids.shape, self.embedding_dim)
