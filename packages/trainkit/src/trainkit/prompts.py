"""Prompts, of one length or several, as one rectangle of token ids."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

Prompt = Sequence[int] | Sequence[Sequence[int]] | Tensor


@dataclass(frozen=True)
class Prompts:
    """A batch of prompts that end side by side: what is shorter is padded on the left.

    Attributes:
        token_ids: `(batch, seq)`; padding repeats the row's first id.
        starts: of every row, how many of its first ids are padding.
        is_batch: whether a batch was given, and not one prompt.
    """

    token_ids: Int64[Tensor, "batch seq"]
    starts: tuple[int, ...]
    is_batch: bool

    @property
    def is_token(self) -> Bool[Tensor, "batch seq"]:
        """`(batch, seq)`, False at padding."""
        return tokens_from(self.starts, 0, self.token_ids.shape[1], self.token_ids.device)

    def seen(self, vocab_size: int) -> Bool[Tensor, "batch vocab_size"]:
        """`(batch, vocab_size)`, True for the tokens in each prompt."""
        nothing = torch.zeros(
            len(self.token_ids), vocab_size, dtype=torch.bool, device=self.token_ids.device
        )
        return nothing.scatter_(1, self.token_ids, True)  # padding is a token of the row itself


def tokens_from(
    starts: Sequence[int], begin: int, end: int, device: torch.device
) -> Bool[Tensor, "batch seq"]:
    """True at those positions from `begin` to `end` that are at or past their row's start."""
    positions = torch.arange(begin, end, device=device)
    return positions >= torch.tensor(starts, device=device)[:, None]


def read_prompts(
    prompt_ids: Prompt, *, vocab_size: int, context_length: int, device: torch.device
) -> Prompts:
    """Check prompts and bring them to one length.

    Args:
        prompt_ids: `(seq,)`, `(batch, seq)`, or rows of several lengths.
        vocab_size: of the model: ids are below it.
        context_length: of the model: prompts are no longer.
        device: where the ids go.

    Raises:
        ValueError: a prompt is empty, longer than the context, or holds what is no token id.
    """
    starts = _padding(prompt_ids)
    if any(starts):
        assert not isinstance(prompt_ids, Tensor)
        rows = [row for row in prompt_ids if isinstance(row, Sequence)]
        prompt_ids = [[row[0]] * start + [*row] for row, start in zip(rows, starts, strict=True)]
    token_ids = torch.as_tensor(prompt_ids, device=device)
    _check(token_ids, vocab_size, context_length)
    is_batch = token_ids.ndim == 2
    token_ids = token_ids.long() if is_batch else token_ids.long()[None]
    return Prompts(token_ids, starts or (0,) * len(token_ids), is_batch)


def _padding(prompt_ids: Prompt) -> tuple[int, ...]:
    """How much each row lacks of the longest; empty where there are no rows to compare."""
    if isinstance(prompt_ids, Tensor):
        return ()
    lengths = [len(row) for row in prompt_ids if isinstance(row, Sequence)]
    if 0 in lengths:
        raise ValueError(
            f"every prompt needs at least one token, row {lengths.index(0)} has none; "
            "an end-of-text token can start a text from nothing"
        )
    return tuple(max(lengths) - length for length in lengths)


def _check(token_ids: Tensor, vocab_size: int, context_length: int) -> None:
    if token_ids.ndim not in (1, 2) or token_ids.numel() == 0:
        raise ValueError(
            "prompt_ids must be (seq,) or (batch, seq) with at least one token, got shape "
            f"{tuple(token_ids.shape)}; an end-of-text token can start a text from nothing"
        )
    if token_ids.is_floating_point():
        raise ValueError(f"prompt_ids must be integers, got {token_ids.dtype}")
    if token_ids.shape[-1] > context_length:
        raise ValueError(
            f"the prompt has {token_ids.shape[-1]} tokens, the model's context_length is "
            f"{context_length}; give the last {context_length} at most"
        )
    outside = token_ids[(token_ids < 0) | (token_ids >= vocab_size)]
    if len(outside):
        raise ValueError(
            f"token id {int(outside[0])} is not in the model's vocabulary of {vocab_size}; "
            "encode the prompt with the tokenizer it was trained with"
        )
