"""Whether a model, its data and its device go together, asked before the first step."""

from typing import cast

import torch
from nnparts import TransformerConfig
from torch import nn

from trainkit.dataset import TokenDataset
from trainkit.mixture import Mixture
from trainkit.model_state import unwrap


def check_fit(
    model: nn.Module, train_data: TokenDataset | Mixture, valid_data: TokenDataset, device: str
) -> None:
    """Refuse what could only fail later.

    Raises:
        ValueError: too little data for a window, token ids beyond the model's vocabulary, or a
            model on another device than the batches.
    """
    shape = cast(TransformerConfig, unwrap(model).config)
    parts = train_data.datasets if isinstance(train_data, Mixture) else [train_data]
    for data in parts:
        _check_length(data, shape.context_length)
    if len(valid_data) < 2:
        raise ValueError(f"{valid_data.path} has fewer than the 2 tokens that it needs")
    for data in (*parts, valid_data):
        _check_vocabulary(data, shape.vocab_size)
    at = next(model.parameters()).device
    if at.type != torch.device(device).type:
        raise ValueError(
            f"the model is on {at}, execution.device is {device!r}; move the model there before "
            "the optimizer is made"
        )


def _check_length(data: TokenDataset, context_length: int) -> None:
    if len(data) <= context_length:
        raise ValueError(
            f"{data.path} has {len(data)} tokens, a window of context_length "
            f"{context_length} and its target need {context_length + 1}; give more data or a "
            "shorter context"
        )


def _check_vocabulary(data: TokenDataset, vocab_size: int) -> None:
    if data.info is not None and data.info.vocab_size > vocab_size:
        raise ValueError(
            f"{data.path} holds token ids below {data.info.vocab_size}, the model's vocab_size is "
            f"{vocab_size}; make it at least {data.info.vocab_size}"
        )
