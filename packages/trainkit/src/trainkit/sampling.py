"""From logits to the distribution that the next token is drawn from."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Raises:
        ValueError: a field is out of range, by name.
    """

    temperature: float = 1.0
    """Divides the logits; below 1 the likely gets likelier; 0 takes the likeliest."""
    top_k: int | None = None
    """Choose among the `top_k` likeliest alone; None: among all."""
    top_p: float | None = None
    """Choose among the fewest likeliest whose probabilities sum to `top_p`; None: among all."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be at least 0 and finite, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1 or None, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1] or None, got {self.top_p}")


def next_token_probs(
    logits: Float[Tensor, "... vocab_size"], sampling: Sampling
) -> Float[Tensor, "... vocab_size"]:
    """softmax(logits / temperature), cut to the `top_k` likeliest, then to the nucleus `top_p`.

    Each cut is followed by scaling what is left to sum 1. Temperature comes first, so the nucleus
    is that of the distribution which is drawn from.

    Args:
        logits: `(..., vocab_size)`.
        sampling: temperature, top_k and top_p.

    Returns:
        `(..., vocab_size)` probabilities in fp32; all of it on one token at temperature 0.
    """
    logits = logits.float()
    if sampling.temperature == 0:
        likeliest = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter_(-1, likeliest, 1.0)
    # The maximum goes first: at 1e-38 a positive logit would become inf, and inf - inf is NaN.
    scaled = (logits - logits.amax(dim=-1, keepdim=True)) / sampling.temperature
    if sampling.top_k is not None:
        scaled = top_k_filter(scaled, sampling.top_k)
    if sampling.top_p is not None:
        scaled = top_p_filter(scaled, sampling.top_p)
    return scaled.softmax(dim=-1)


def top_k_filter(
    logits: Float[Tensor, "... vocab_size"], top_k: int
) -> Float[Tensor, "... vocab_size"]:
    """Put -inf where a logit is below the `top_k`-th greatest; ties with that one stay.

    Fan et al. 2018, section 5 (https://arxiv.org/abs/1805.04833).

    Args:
        logits: `(..., vocab_size)`.
        top_k: at least 1; more than `vocab_size` changes nothing.
    """
    smallest = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < smallest, float("-inf"))


def top_p_filter(
    logits: Float[Tensor, "... vocab_size"], top_p: float
) -> Float[Tensor, "... vocab_size"]:
    """Put -inf outside the nucleus: the fewest likeliest tokens V with sum_{x in V} P(x) >= top_p.

    Holtzman et al. 2020, section 3.1, eq. 2 (https://arxiv.org/abs/1904.09751). The likeliest
    token is always in; of equally likely ones the smaller token id goes first.

    Args:
        logits: `(..., vocab_size)`.
        top_p: in (0, 1].
    """
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probs = ordered.softmax(dim=-1)
    before = probs.cumsum(dim=-1) - probs  # mass of the likelier ones
    is_outside = (before >= top_p).scatter(-1, order, before >= top_p)
    return logits.masked_fill(is_outside, float("-inf"))
