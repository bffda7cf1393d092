"""The loss that is trained on."""

from typing import Any

from jaxtyping import Bool, Float, Int64
from nnparts import TransformerLM
from nnparts.functional import chunked_cross_entropy, cross_entropy
from torch import Tensor, nn


def batch_loss(
    model: nn.Module,
    inputs: Int64[Tensor, "batch seq"],
    targets: Int64[Tensor, "batch seq"],
    *,
    document_ids: Int64[Tensor, "batch seq"] | None = None,
    mask: Bool[Tensor, "batch seq"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of `model`'s predictions, in nats a token, in fp32 at least.

    A plain `TransformerLM` never holds its logits: they and their gradients would be a third of
    all memory of a step at 8,192 tokens and 10,000 classes. One that is wrapped is called, since
    wrappers do their work in the call.

    Args:
        model: maps `(batch, seq)` token ids to `(batch, seq, vocab_size)` logits.
        inputs: `(batch, seq)` token ids.
        targets: `(batch, seq)`, the token id that follows each.
        document_ids: `(batch, seq)`, given to the model, which must take them, as `TransformerLM`
            does; None: the model isn't told of documents.
        mask: `(batch, seq)`, True where the target counts; None: everywhere. What is left out costs
            no product with the head, but counting it waits for a GPU.

    Returns:
        A scalar; NaN where no target counts.
    """
    told = document_arguments(document_ids)
    if not isinstance(model, TransformerLM):
        return cross_entropy(*_counted(model(inputs, **told), targets, mask))
    hidden, targets = _counted(model.hidden_states(inputs, **told), targets, mask)
    soft_cap = model.config.logit_soft_cap
    return chunked_cross_entropy(hidden, model.lm_head.weight, targets, soft_cap=soft_cap)


def document_arguments(
    document_ids: Int64[Tensor, "batch seq"] | None,
) -> dict[str, Any]:
    """How a model is told of documents: not at all where there are none, for not every one asks."""
    return {} if document_ids is None else {"document_ids": document_ids}


def _counted(
    rows: Float[Tensor, "batch seq features"],
    targets: Int64[Tensor, "batch seq"],
    mask: Bool[Tensor, "batch seq"] | None,
) -> tuple[Float[Tensor, "*rows features"], Int64[Tensor, "*rows"]]:
    """Those rows whose targets count, and these targets."""
    return (rows, targets) if mask is None else (rows[mask], targets[mask])
