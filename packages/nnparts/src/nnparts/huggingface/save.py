"""A `TransformerLM` as a directory that `transformers` loads."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nnparts.huggingface import files
from nnparts.huggingface.config import write_config
from nnparts.huggingface.dtypes import common_dtype
from nnparts.huggingface.names import halves_from_pairs, huggingface_name, is_rotated
from nnparts.model import TransformerLM


def to_huggingface(
    model: torch.nn.Module,
    directory: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = 1_000_000_000,
    eos_token_id: int | None = None,
) -> None:
    """Write `model` for `transformers.AutoModelForCausalLM.from_pretrained(directory)`.

    It becomes a Qwen3 where it has `qk_norm`, a Mistral where it has a `sliding_window` (or
    `num_heads` that don't divide `d_model`), else a Llama. An older model in `directory` is
    replaced; other files there, such as a tokenizer's, stay. What acts in training alone, dropout
    and residual_init_scaling, is not written.

    Args:
        model: a `TransformerLM`, on any device; not compiled or wrapped.
        directory: made where it is missing; nobody else may write there meanwhile.
        dtype: of the weights in the files; as in the model if None.
        max_shard_bytes: of weights in one file. Three times as much memory is needed to write it.
        eos_token_id: the token at which `generate` stops there; None: at its length alone.

    Raises:
        TypeError: `model` isn't a `TransformerLM` itself.
        ValueError: none of the three computes what `model` does (a `norm` other than "pre",
            `positions` other than "rope", a `feed_forward` other than "swiglu", a
            `logit_soft_cap`); its weights have several dtypes and none is given; or
            `max_shard_bytes` isn't positive.
    """
    if not isinstance(model, TransformerLM):
        raise TypeError(
            f"a TransformerLM is needed, got {type(model).__name__}: give the model inside it"
        )
    if max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes must be positive, got {max_shard_bytes}")
    dtype = common_dtype((weight.dtype for weight in model.parameters()), dtype)
    fields = _config_fields(model, dtype, eos_token_id)
    with files.replace_model(Path(directory)) as staging:
        _write_weights(model, staging, dtype, max_shard_bytes)
        files.write_json(staging / files.CONFIG, fields)
        files.write_json(staging / files.GENERATION_CONFIG, {"eos_token_id": eos_token_id})


def _config_fields(
    model: TransformerLM, dtype: torch.dtype, eos_token_id: int | None
) -> dict[str, Any]:
    return {
        **write_config(model.config),
        "torch_dtype": str(dtype).removeprefix("torch."),
        # Said where there are none, too: left out, transformers would take 1 and 2 for a Llama's.
        "bos_token_id": None,
        "eos_token_id": eos_token_id,
    }


def _write_weights(
    model: TransformerLM, directory: Path, dtype: torch.dtype, max_shard_bytes: int
) -> None:
    head_dim = model.config.head_dim
    assert head_dim is not None  # filled in by the config
    # A tied head comes once, as the embeddings, like in transformers' own files.
    parameters = {huggingface_name(name): (name, p) for name, p in model.named_parameters()}

    def make(theirs: str) -> Tensor:
        name, parameter = parameters[theirs]
        weight = parameter.detach().to("cpu", dtype)
        if is_rotated(name):
            weight = halves_from_pairs(weight, head_dim)
        return weight.clone(memory_format=torch.contiguous_format)

    sizes = {theirs: p.numel() * dtype.itemsize for theirs, (_, p) in parameters.items()}
    files.write_weights(directory, sizes, make, max_shard_bytes=max_shard_bytes)
