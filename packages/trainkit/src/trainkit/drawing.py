"""From logits to token ids: one number a row, uniform in [0, 1), decides."""

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from trainkit.sampling import Sampling, min_p_filter, penalize_repetition, scale

_CANDIDATES = (64, 1024)
"""How many of the likeliest are looked at where there is `top_p`, one after the other until they
are enough. Of 10,000 logits 64 are found in 27 us, 256 in 62; a sort of all takes 900."""


def draw(
    logits: Float[Tensor, "batch vocab_size"],
    sampling: Sampling,
    uniforms: Float64[Tensor, " batch"] | None,
    seen: Bool[Tensor, "batch vocab_size"] | None = None,
) -> Int64[Tensor, " batch"]:
    """Token ids distributed as `next_token_probs(logits, sampling, seen)`, by inverting the sum.

    Of tokens 0, 1, ... with probabilities p_i, u draws the first i with p_0 + ... + p_i > u
    (Devroye 1986, Non-Uniform Random Variate Generation, section III.2). With `top_k` or `top_p`
    they are ordered likeliest first: then it is enough to know the likeliest.

    Args:
        logits: `(batch, vocab_size)`.
        sampling: the parameters.
        uniforms: `(batch,)`, in [0, 1); None at temperature 0.
        seen: `(batch, vocab_size)`, True for tokens that came before; None: nothing did.

    Returns:
        `(batch,)`; of equally likely tokens at temperature 0 the first.
    """
    logits = penalize_repetition(logits.float(), seen, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    assert uniforms is not None, "a temperature above 0 leaves it to a number which token comes"
    scaled = scale(logits, sampling.temperature)
    if sampling.top_k is None and sampling.top_p is None:
        if sampling.min_p is not None:
            scaled = min_p_filter(scaled, sampling.min_p)
        return _invert(scaled.softmax(dim=-1), uniforms)
    ranked, token_ids = _choices(scaled, sampling)
    rank = _invert(ranked, uniforms)
    return token_ids.gather(-1, rank.unsqueeze(-1)).squeeze(-1)


def _invert(
    probs: Float[Tensor, "batch choices"], uniforms: Float64[Tensor, " batch"]
) -> Int64[Tensor, " batch"]:
    """The first choice up to which the probabilities sum to more than `uniforms` of their total.

    The sum's last value is 1 exactly, and a choice without probability adds nothing to it: so there
    is one for every u < 1, and it is possible.
    """
    sums = probs.double().cumsum(dim=-1)
    sums = sums / sums[:, -1:]
    return torch.searchsorted(sums, uniforms.unsqueeze(-1), right=True).squeeze(-1)


def _choices(
    scaled: Float[Tensor, "batch vocab_size"], sampling: Sampling
) -> tuple[Float[Tensor, "batch choices"], Int64[Tensor, "batch choices"]]:
    """Probabilities and ids of the likeliest tokens, 0 for those cut; all tokens if need be.

    More are needed where the last one that was looked at is among the chosen: there may be others
    as likely, or the nucleus goes on.
    """
    counts = _CANDIDATES if sampling.top_k is None else (sampling.top_k + 1,)
    # A GPU sorts faster than it would be asked whether the candidates were enough.
    if scaled.device.type == "cpu":
        for count in (count for count in counts if 2 * count < scaled.shape[-1]):
            logits, token_ids = _likeliest(scaled, count)
            probs = _cut(logits, scaled, sampling)
            if not bool((probs * (logits == logits[:, -1:])).any()):
                return probs, token_ids
    logits, token_ids = scaled.sort(dim=-1, descending=True, stable=True)
    return _cut(logits, scaled, sampling), token_ids


def _likeliest(
    scaled: Float[Tensor, "batch vocab_size"], count: int
) -> tuple[Float[Tensor, "batch count"], Int64[Tensor, "batch count"]]:
    """The `count` greatest in order; of equal ones the smaller id goes first."""
    token_ids = scaled.topk(count, dim=-1, sorted=False).indices.sort(dim=-1).values
    logits, order = scaled.gather(-1, token_ids).sort(dim=-1, descending=True, stable=True)
    return logits, token_ids.gather(-1, order)


def _cut(
    ranked: Float[Tensor, "batch choices"],
    scaled: Float[Tensor, "batch vocab_size"],
    sampling: Sampling,
) -> Float[Tensor, "batch choices"]:
    """Probabilities of the choices, ordered, 0 for those that are cut; not normalized."""
    if sampling.top_k is None:
        total = scaled.exp().sum(dim=-1, keepdim=True)
        probs = ranked.exp() / total
    else:
        smallest = ranked[:, min(sampling.top_k, ranked.shape[-1]) - 1, None]
        probs = ranked.masked_fill(ranked < smallest, float("-inf")).softmax(dim=-1)
    if sampling.top_p is not None:
        before = probs.cumsum(dim=-1) - probs
        probs = probs.masked_fill(before >= sampling.top_p, 0.0)
    if sampling.min_p is not None:
        probs = probs.masked_fill(min_p_filter(ranked, sampling.min_p).isneginf(), 0.0)
    return probs
