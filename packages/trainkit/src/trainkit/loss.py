"""The loss that is trained on."""

from jaxtyping import Float, Int64
from nnparts.functional import cross_entropy
from torch import Tensor, nn


def batch_loss(
    model: nn.Module,
    inputs: Int64[Tensor, "batch seq"],
    targets: Int64[Tensor, "batch seq"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of `model`'s predictions, in nats a token, in fp32 at least.

    Args:
        model: maps `(batch, seq)` token ids to `(batch, seq, vocab_size)` logits.
        inputs: `(batch, seq)` token ids.
        targets: `(batch, seq)`, the token id that follows each.
    """
    return cross_entropy(model(inputs), targets)
