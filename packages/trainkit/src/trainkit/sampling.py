"""From logits to the distribution that the next token is drawn from."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
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
    min_p: float | None = None
    """Choose among those at least `min_p` times as likely as the likeliest; None: among all."""
    repetition_penalty: float = 1.0
    """Makes tokens that came before unlikelier where above 1, likelier below; 1: does nothing."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be at least 0 and finite, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1 or None, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1] or None, got {self.top_p}")
        if self.min_p is not None and not 0 < self.min_p <= 1:
            raise ValueError(f"min_p must be in (0, 1] or None, got {self.min_p}")
        if not 0 < self.repetition_penalty < math.inf:
            raise ValueError(
                f"repetition_penalty must be positive and finite, got {self.repetition_penalty}"
            )


def next_token_probs(
    logits: Float[Tensor, "... vocab_size"],
    sampling: Sampling,
    seen: Bool[Tensor, "... vocab_size"] | None = None,
) -> Float[Tensor, "... vocab_size"]:
    """softmax(logits / temperature), cut to `top_k`, then to the nucleus `top_p`, then by `min_p`.

    Each cut is followed by scaling what is left to sum 1. Temperature comes before the cuts, so the
    nucleus is that of the distribution which is drawn from; the penalty comes before temperature.

    Args:
        logits: `(..., vocab_size)`.
        sampling: the parameters.
        seen: `(..., vocab_size)`, True for tokens that came before, which `repetition_penalty` is
            for; None: nothing came before.

    Returns:
        `(..., vocab_size)` probabilities in fp32; all of it on one token at temperature 0.
    """
    logits = penalize_repetition(logits.float(), seen, sampling.repetition_penalty)
    if sampling.temperature == 0:
        likeliest = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter_(-1, likeliest, 1.0)
    scaled = scale(logits, sampling.temperature)
    if sampling.top_k is not None:
        scaled = top_k_filter(scaled, sampling.top_k)
    if sampling.top_p is not None:
        scaled = top_p_filter(scaled, sampling.top_p)
    if sampling.min_p is not None:
        scaled = min_p_filter(scaled, sampling.min_p)
    return scaled.softmax(dim=-1)


def scale(
    logits: Float[Tensor, "... vocab_size"], temperature: float
) -> Float[Tensor, "... vocab_size"]:
    """(logits - max logits) / temperature: 0 for the likeliest, below for the rest.

    The maximum goes first: at temperature 1e-38 a positive logit would become inf, and inf - inf
    is NaN.
    """
    return (logits - logits.amax(dim=-1, keepdim=True)) / temperature


def penalize_repetition(
    logits: Float[Tensor, "... vocab_size"],
    seen: Bool[Tensor, "... vocab_size"] | None,
    penalty: float,
) -> Float[Tensor, "... vocab_size"]:
    """Divide the logits of tokens that came before by `penalty`, or multiply those below zero.

    Keskar et al. 2019, section 4.1 (https://arxiv.org/abs/1909.05858). The paper divides them all,
    which would make a token with a negative logit likelier; here as in `transformers` these are
    multiplied.

    Args:
        logits: `(..., vocab_size)`.
        seen: `(..., vocab_size)`, True for tokens that came before; None: none did.
        penalty: positive; 1.2 in the paper, 1 changes nothing.
    """
    if seen is None or penalty == 1:
        return logits
    penalized = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, penalized, logits)


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


def min_p_filter(
    logits: Float[Tensor, "... vocab_size"], min_p: float
) -> Float[Tensor, "... vocab_size"]:
    """Put -inf where P(x) < min_p max P: where a logit is below the greatest by -ln min_p.

    Nguyen et al. 2024, section 3 (https://arxiv.org/abs/2407.01082). The more certain
    the model is, the fewer tokens stay; the likeliest always does. A ratio of probabilities is the
    same after any other cut, so this one may come last.

    Args:
        logits: `(..., vocab_size)`.
        min_p: in (0, 1].
    """
    lowest = logits.amax(dim=-1, keepdim=True) + math.log(min_p)
    return logits.masked_fill(logits < lowest, float("-inf"))
