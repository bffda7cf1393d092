"""What ends a row while decoding: tokens, and sequences of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor


@dataclass(frozen=True)
class Stopping:
    """What ends a row, as soon as it stands at the end of what was written.

    A prompt ends nothing: a sequence must be written from its first token to its last.

    Raises:
        ValueError: a sequence is empty.
    """

    tokens: Sequence[int] = ()
    """Ids each of which ends a row."""
    sequences: Sequence[Sequence[int]] = ()
    """Ids that do so in a row, one after the other."""

    def __post_init__(self) -> None:
        if not all(self.sequences):
            raise ValueError(
                f"a stop sequence needs at least one token, got {list(self.sequences)}"
            )


class StopFinder:
    """Looks for what ends a row, as it is written: a token is a sequence of one.

    Args:
        stopping: what ends a row.
        rows: how many there are.
        vocab_size: of the model.
        device: where the rows are.

    Raises:
        ValueError: an id is outside the vocabulary, so that it would never come.
    """

    def __init__(
        self, stopping: Stopping, *, rows: int, vocab_size: int, device: torch.device
    ) -> None:
        by_length: dict[int, list[Sequence[int]]] = {}
        for sequence in [*([token_id] for token_id in stopping.tokens), *stopping.sequences]:
            for token_id in sequence:
                if not 0 <= token_id < vocab_size:
                    raise ValueError(
                        f"token id {token_id} is to end a row, but the model's vocabulary has "
                        f"{vocab_size} tokens: it would never come"
                    )
            by_length.setdefault(len(sequence), []).append(sequence)
        self._sequences = [torch.tensor(group, device=device) for group in by_length.values()]
        # As much of the rows as the longest may fill; -1, no token, where nothing is written yet.
        self._last = torch.full((rows, max(by_length, default=0)), -1, device=device)

    def __bool__(self) -> bool:
        """Whether anything ends a row."""
        return bool(self._sequences)

    def ends(self, token_ids: Int64[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Which rows end, by a token or a sequence that stops, with these next `token_ids`."""
        self._last = torch.cat([self._last[:, 1:], token_ids[:, None]], dim=1)
        found = torch.zeros(len(token_ids), dtype=torch.bool, device=token_ids.device)
        for sequences in self._sequences:  # (count, length)
            last = self._last[:, None, -sequences.shape[1] :]  # (batch, 1, length)
            found |= (last == sequences).all(dim=-1).any(dim=-1)
        return found
