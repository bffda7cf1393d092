"""The loss that is trained on."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from nnparts import TransformerLM
from nnparts.functional import chunked_cross_entropy, cross_entropy
from torch import Tensor, nn

_DEEP = 6  # blocks


def batch_loss(
    model: nn.Module,
    inputs: Int64[Tensor, "batch seq"],
    targets: Int64[Tensor, "batch seq"],
    *,
    document_ids: Int64[Tensor, "batch seq"] | None = None,
    mask: Bool[Tensor, "batch seq"] | None = None,
    compile_blocks: bool = False,
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
        compile_blocks: whether the blocks of a plain `TransformerLM`, and the head with the loss,
            are compiled functions each; see `compiled_loss`.

    Returns:
        A scalar; NaN where no target counts.
    """
    told = document_arguments(document_ids)
    if not isinstance(model, TransformerLM):
        return cross_entropy(*_counted(model(inputs, **told), targets, mask))
    hidden = model.hidden_states(inputs, compile_blocks=compile_blocks, **told)
    hidden, targets = _counted(hidden, targets, mask)
    soft_cap = model.config.logit_soft_cap
    of_head = _compiled_head_loss() if compile_blocks else chunked_cross_entropy
    return of_head(hidden, model.lm_head.weight, targets, soft_cap=soft_cap)


def compiled_loss(model: nn.Module) -> Callable[..., Tensor]:
    """`batch_loss` compiled: as a whole, but of a deep model on a CPU block by block.

    Blocks are alike, so one is compiled for all: of ts17m's (Zen 5) 6, 12 and 24 take 29, 28, 29 s
    in place of 36, 52, 89, or 9, 8, 8 in place of 9, 15, 29 where the compiler's cache is filled;
    12 and 24 take 0.1 and 0.3 GB less at the peak; passes are as fast. With 4 and a filled cache
    the whole is there 2 s sooner.
    Other devices compile the whole: there it was not measured.

    Args:
        model: that it will be called with, where it will be trained.
    """
    is_deep = isinstance(model, TransformerLM) and len(model.layers) >= _DEEP
    if is_deep and next(model.parameters()).device.type == "cpu":
        return partial(batch_loss, compile_blocks=True)
    return torch.compile(batch_loss)


@lru_cache
def _compiled_head_loss() -> Callable[..., Tensor]:
    return torch.compile(chunked_cross_entropy)


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
