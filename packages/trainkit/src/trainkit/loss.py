"""The loss that is trained on."""

from jaxtyping import Float, Int64
from nnparts import TransformerLM
from nnparts.functional import chunked_cross_entropy, cross_entropy
from torch import Tensor, nn


def batch_loss(
    model: nn.Module,
    inputs: Int64[Tensor, "batch seq"],
    targets: Int64[Tensor, "batch seq"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of `model`'s predictions, in nats a token, in fp32 at least.

    A plain `TransformerLM` never holds its logits: they and their gradients would be a third of
    all memory of a step at 8,192 tokens and 10,000 classes. One that is wrapped is called, since
    wrappers do their work in the call.

    Args:
        model: maps `(batch, seq)` token ids to `(batch, seq, vocab_size)` logits.
        inputs: `(batch, seq)` token ids.
        targets: `(batch, seq)`, the token id that follows each.
    """
    if not isinstance(model, TransformerLM):
        return cross_entropy(model(inputs), targets)
    hidden = model.hidden_states(inputs)
    soft_cap = model.config.logit_soft_cap
    return chunked_cross_entropy(hidden, model.lm_head.weight, targets, soft_cap=soft_cap)
