"""The tensors of a checkpoint in its directory: whole, or the part that each rank has.

Whole, as one process writes them: `model.safetensors`, `optimizer.safetensors`, each with its
description. Of a model that is divided among ranks, as PyTorch's distributed checkpoint (DCP) does:

    shard-00001-model-00001-of-00001.safetensors    what the first rank has, of all files
    shard-00002-model-00001-of-00001.safetensors
    shards.json                                     the descriptions

Either is read by any number of ranks, into whole or divided tensors.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from optimkit import divided_like, is_sharded
from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.manifest import DamagedCheckpointError, FileDigest
from trainkit.model_state import model_tensors
from trainkit.ranks import Ranks
from trainkit.snapshot import Content
from trainkit.tensor_file import Description, Tensors, read_tensors, tensor_bytes

_SHARDS = "shards.json"
_FORMAT = {"format": "groundup-shards", "version": 1}

Pattern = Callable[[str], Tensor | None]
"""By the name of a tensor, one of its shape that is divided as it shall be; None: it stays whole.

One of another shape is no pattern for it.
"""


def write_whole(directory: Path, content: Content) -> dict[str, FileDigest]:
    """Write `content`, a file for each name in it.

    Returns:
        The digest of each file, by its name in `directory`.
    """
    digests: dict[str, FileDigest] = {}
    for name, (tensors, description) in content.files.items():
        data = tensor_bytes(tensors, description, kind=f"groundup-{name}")
        (directory / f"{name}.safetensors").write_bytes(data)
        digests[f"{name}.safetensors"] = FileDigest.of(data)
    return digests


def write_shards(directory: Path, content: Content, ranks: Ranks) -> dict[str, FileDigest]:
    """Write what this rank has of `content`; all must call, with one `directory`.

    Tensors that are not divided are written by one of the ranks.

    Returns:
        The digest of each file of all ranks, by its name in `directory`.

    Raises:
        OSError: a rank could not write; on all of them.
        ImportError: torch is older than 2.9.
    """
    from torch.distributed.checkpoint import state_dict_saver
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

    tensors: dict[str, Any] = {
        f"{file}/{name}": tensor
        for file, (named, _) in content.files.items()
        for name, tensor in named.items()
    }
    writer = HuggingFaceStorageWriter(str(directory), save_distributed=True)
    try:
        state_dict_saver.save(tensors, storage_writer=writer, process_group=ranks.group)
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values() if isinstance(cause, OSError)]
        raise (causes[0] if causes else error) from error
    descriptions = {file: description for file, (_, description) in content.files.items()}

    def digest() -> dict[str, FileDigest]:
        mine = list(directory.glob(f"shard-{ranks.rank + 1:05d}-*"))
        if ranks.is_first:
            mine.append(directory / _SHARDS)
            mine[-1].write_text(json.dumps(_FORMAT | {"files": descriptions}, indent=2) + "\n")
        return {path.name: FileDigest.of_file(path) for path in mine}

    return {name: each for digests in ranks.together(digest) for name, each in digests.items()}


def has_file(directory: Path, name: str) -> bool:
    """Whether the checkpoint has tensors by this name, such as "optimizer"."""
    return (directory / f"{name}.safetensors").is_file() or name in _descriptions(directory)


def read_file(directory: Path, name: str, pattern: Pattern) -> tuple[Tensors, Description]:
    """The tensors saved as `name`, each divided as `pattern` says, and their description.

    Raises:
        FileNotFoundError: the checkpoint has none by this name.
        DamagedCheckpointError: `shards.json` is damaged.
        ValueError: a file is no checkpoint's.
    """
    path = directory / f"{name}.safetensors"
    descriptions = {} if path.is_file() else _descriptions(directory)
    if name in descriptions:
        return _read_shards(directory, name, pattern), descriptions[name]
    tensors, description = read_tensors(path, kind=f"groundup-{name}")
    return {key: _divided(tensor, pattern(key)) for key, tensor in tensors.items()}, description


def model_pattern(model: nn.Module) -> Pattern:
    """How the weights of `model` are divided."""
    return model_tensors(model).get


def optimizer_pattern(optimizer: Optimizer) -> Pattern:
    """How the states of `optimizer`, named as `optimizer_tensors` does, are: as its parameters."""
    groups = optimizer.param_groups
    parameters = dict(enumerate(parameter for group in groups for parameter in group["params"]))
    return lambda name: parameters.get(int(name.partition(".")[0]))


def _divided(tensor: Tensor, pattern: Tensor | None) -> Tensor:
    if pattern is None or pattern.shape != tensor.shape:
        return tensor
    return divided_like(tensor, pattern)


def _read_shards(directory: Path, name: str, pattern: Pattern) -> Tensors:
    from torch.distributed.checkpoint import state_dict_loader
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    reader = HuggingFaceStorageReader(str(directory))
    prefix = f"{name}/"
    saved = reader.read_metadata().state_dict_metadata
    tensors: dict[str, Any] = {
        key: _empty(key.removeprefix(prefix), saved[key], pattern)
        for key in saved
        if key.startswith(prefix)
    }
    with warnings.catch_warnings():
        # Each rank reads its part: nothing needs to be agreed on, which torch warns of.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        state_dict_loader.load(tensors, storage_reader=reader, no_dist=True)
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}


def _empty(name: str, saved: Any, pattern: Pattern) -> Tensor:
    """Memory for a tensor, divided as `pattern` says."""
    like, dtype = pattern(name), saved.properties.dtype
    if like is None or not is_sharded(like) or like.shape != saved.size:
        return torch.empty(saved.size, dtype=dtype)
    return torch.empty_like(like, dtype=dtype, requires_grad=False)


def _descriptions(directory: Path) -> dict[str, Description]:
    """What `shards.json` says of each file; nothing where there are no shards."""
    path = directory / _SHARDS
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
        if {key: content[key] for key in _FORMAT} != _FORMAT:
            raise ValueError(f"it is a {content['format']} of version {content['version']}")
        return content["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpointError(
            f"{path} does not describe shards ({error}); take another checkpoint"
        ) from error
