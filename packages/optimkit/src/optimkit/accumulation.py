"""The arithmetic of a batch that is computed in parts."""

from collections.abc import Sequence

from optimkit.checks import require


def accumulation_weights(token_counts: Sequence[int]) -> list[float]:
    """What to multiply the mean loss of each micro batch with, so that gradients add up.

        weight_i = token_counts[i] / sum(token_counts)

    The mean over the whole batch is divided by all its tokens, so a micro batch counts by those
    that it has. The mean of the micro batches' means, weights of 1 / n, is something else as soon
    as padding or a mask leaves them unequally full: a token then counts the more, the fewer stand
    beside it.

        for inputs, targets, weight in zip(..., accumulation_weights(counts)):
            if weight > 0:
                (weight * mean_loss(inputs, targets)).backward()

    Args:
        token_counts: tokens of each micro batch that the loss is a mean of: those predicted, not
            those masked. Where the batch is spread over processes, of all their micro batches.

    Returns:
        The weights; they sum to 1. A micro batch without tokens has weight 0 and a mean of NaN:
        skip it, for 0 times NaN is NaN.

    Raises:
        ValueError: a count is negative, or there is no token at all.
    """
    are_counts = all(count >= 0 for count in token_counts)
    require(are_counts, "token counts must not be negative", token_counts=token_counts)
    total = sum(token_counts)
    require(total > 0, "a batch needs a token to learn from", token_counts=token_counts)
    return [count / total for count in token_counts]
