"""A directory that `transformers` saved as a `TransformerLM`."""

import os
from pathlib import Path

import torch
from torch import Tensor

from nnparts.config import TransformerConfig
from nnparts.huggingface import files
from nnparts.huggingface.config import read_config
from nnparts.huggingface.dtypes import common_dtype
from nnparts.huggingface.names import huggingface_name, is_rotated, pairs_from_halves
from nnparts.model import TransformerLM
from nnparts.rope import RotaryPositionalEmbedding

_EMBEDDINGS, _LM_HEAD = "model.embed_tokens.weight", "lm_head.weight"
_FREQUENCIES = ".rotary_emb.inv_freq"  # RoPE's, in old Llamas; they follow from the config
_MOST_NAMED = 10  # differences spelled out in an error; a wrong model has hundreds


def from_huggingface(
    directory: str | os.PathLike[str],
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> TransformerLM:
    """Load a Llama, Mistral or Qwen3 that `transformers` saved as safetensors.

    On the CPU and in the stored dtype, the weights are the file's own pages, read when first used:
    there is no second copy, but of `q_proj` and `k_proj`, whose rows are reordered. Training
    changes private copies of the pages, never the file. Who writes over the file in place changes
    the model or ends the process; to replace it, as `to_huggingface` does, is safe.

    Args:
        directory: holds `config.json` and `model.safetensors`, or shards and their index.
        device: where the weights shall lie; torch's default if None.
        dtype: of the weights; as stored if None.

    Returns:
        The model; what acts in training alone is not read: it has no dropout.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: it is of another architecture, or has what `TransformerConfig` can't describe
            (biases, a window in some layers only, another activation or RoPE scaling, quantized
            weights); a weight is missing, unknown or of another shape; a file is cut short; the
            weights have several dtypes and none is given.
    """
    directory = Path(directory)
    device = torch.get_default_device() if device is None else torch.device(device)
    model = TransformerLM(_read_config(directory / files.CONFIG), device="meta")
    with files.open_weights(directory) as weights:
        _check_weights(model, weights)
        model.load_state_dict(_translate(model, weights, device, dtype), assign=True)
    for module in model.modules():
        if isinstance(module, RotaryPositionalEmbedding):
            # Computes its tables there. Not by `to_empty`: `torch.empty_like` of a tensor on meta
            # would first import sympy, for two seconds.
            module._apply(lambda table: torch.empty(table.shape, device=device))  # pyright: ignore[reportPrivateUsage]
    return model


def _read_config(path: Path) -> TransformerConfig:
    fields = files.read_json(path)
    try:
        return read_config(fields)
    except (TypeError, ValueError) as error:  # a TypeError: text where a number should be
        raise ValueError(f"{path} describes no model of ours: {error}") from error


def _check_weights(model: TransformerLM, weights: files.Weights) -> None:
    """Raise ValueError, listing the differences, unless `weights` are those of `model`."""
    wanted = {huggingface_name(name): tuple(p.shape) for name, p in model.named_parameters()}
    found = {name: weight.shape for name, weight in weights.items()}
    for name in _redundant(model, weights):
        del found[name]
    differences = [
        f"{name}: {found.get(name, 'missing')} in the files, {wanted.get(name, 'unknown')} to us"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    if differences:
        more = len(differences) - _MOST_NAMED
        listed = differences[:_MOST_NAMED] + ([f"... and {more} more"] if more > 0 else [])
        raise ValueError(
            "the weights are not those that config.json describes:\n  " + "\n  ".join(listed)
        )


def _redundant(model: TransformerLM, weights: files.Weights) -> list[str]:
    """Names of stored weights that follow from others."""
    names = [name for name in weights if name.endswith(_FREQUENCIES)]
    if model.config.tied_embeddings and {_EMBEDDINGS, _LM_HEAD} <= weights.keys():
        if not torch.equal(weights[_EMBEDDINGS].read(), weights[_LM_HEAD].read()):
            raise ValueError(
                f"config.json ties the head to the embeddings, but {_LM_HEAD} differs from"
                f" {_EMBEDDINGS}: set tie_word_embeddings to false, or drop the head"
            )
        names.append(_LM_HEAD)
    return names


def _translate(
    model: TransformerLM, weights: files.Weights, device: torch.device, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """The state dict of `model`; a tied weight once."""
    head_dim = model.config.head_dim
    assert head_dim is not None  # filled in by the config
    stored = {name: weights[huggingface_name(name)] for name, _ in model.named_parameters()}
    dtype = common_dtype((weight.dtype for weight in stored.values()), dtype)
    state: dict[str, Tensor] = {}
    for name, weight in stored.items():
        tensor = weight.read()
        if is_rotated(name):
            tensor = pairs_from_halves(tensor, head_dim)
        state[name] = tensor.to(device, dtype)
    return state
