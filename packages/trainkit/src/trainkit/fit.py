"""Whether a model, its data and its device go together, asked before the first step."""

from dataclasses import replace
from typing import cast

import torch
from nnparts import TransformerConfig
from torch import nn

from trainkit.dataset import TokenDataset
from trainkit.execution import Execution
from trainkit.mixture import Mixture
from trainkit.model_state import unwrap


def at_model(execution: Execution, model: nn.Module) -> Execution:
    """`execution` on the very device of `model`, its number included.

    "cuda" alone means another GPU to each rank, and to each thread: torch.cuda.set_device is heard
    by the thread that calls it, and those that make batches ahead would stay on the first.

    Raises:
        ValueError: it is another device than that of `execution`.
    """
    at, wanted = next(model.parameters()).device, torch.device(execution.device)
    # The number of a CPU, "cpu:0", says nothing.
    is_another = at.type != "cpu" and wanted not in (at, torch.device(at.type))
    if at.type != wanted.type or is_another:
        raise ValueError(
            f"the model is on {at}, execution.device is {execution.device!r}; move the model there "
            "before the optimizer is made"
        )
    return replace(execution, device=str(at))


def check_fit(
    model: nn.Module, train_data: TokenDataset | Mixture, valid_data: TokenDataset
) -> None:
    """Refuse what could only fail later.

    Raises:
        ValueError: too little data for a window, or token ids beyond the model's vocabulary.
    """
    shape = cast(TransformerConfig, unwrap(model).config)
    parts = train_data.datasets if isinstance(train_data, Mixture) else [train_data]
    for data in parts:
        _check_length(data, shape.context_length)
    if len(valid_data) < 2:
        raise ValueError(f"{valid_data.path} has fewer than the 2 tokens that it needs")
    for data in (*parts, valid_data):
        _check_vocabulary(data, shape.vocab_size)


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
