"""The files of a Hugging Face model: `config.json` and safetensors, in one file or in shards.

Format: https://github.com/huggingface/safetensors. Shards come with an index, a JSON object whose
`weight_map` says which file holds which weight. No pickle is read or written.
"""

import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_SHARD = "model-{:05}-of-{:05}.safetensors"
_MODEL_FILES = (GENERATION_CONFIG, _INDEX, _WEIGHTS, "model-*-of-*.safetensors")

_MOST_NAMED = 10  # weights spelled out in an error; a wrong file has hundreds


@dataclass(frozen=True)
class StoredWeight:
    """A weight in an open file, read when asked for."""

    name: str
    file: safe_open

    @property
    def shape(self) -> tuple[int, ...]:
        """As stored."""
        return tuple(self.file.get_slice(self.name).get_shape())

    @property
    def dtype(self) -> torch.dtype:
        """As stored."""
        return self.file.get_slice(self.name)[:0].dtype

    def read(self) -> Tensor:
        """The tensor, in the file's own pages: they stay mapped after the file is closed."""
        return self.file.get_tensor(self.name)


Weights = dict[str, StoredWeight]


@contextmanager
def replace_model(directory: Path) -> Generator[Path]:
    """Give an empty directory to fill; at the block's end its files are the model in `directory`.

    Files that belong to no model, such as a tokenizer's, stay. An exception inside the block leaves
    all as it was. No file is written over: who has one mapped keeps what it held. The old
    `config.json` goes first and the new one comes last, so that a kill between the two leaves no
    model rather than the shards of two.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".staging-", dir=directory) as name:
        staging = Path(name)
        yield staging
        for path in staging.iterdir():
            _sync(path)
        (directory / CONFIG).unlink(missing_ok=True)
        _sync(directory)
        for old in [path for pattern in _MODEL_FILES for path in directory.glob(pattern)]:
            old.unlink()
        for new in sorted(staging.iterdir(), key=lambda path: path.name == CONFIG):
            os.replace(new, directory / new.name)
        _sync(directory)


def write_json(path: Path, fields: dict[str, Any]) -> None:
    """Write `fields` for people to read, too."""
    path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it doesn't hold one JSON object.
    """
    try:
        fields = json.loads(path.read_text("utf-8"))
    except ValueError as error:  # of JSON or of UTF-8
        raise ValueError(f"{path} is not a whole JSON file: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(fields).__name__}")
    return fields


def write_weights(
    directory: Path, sizes: dict[str, int], make: Callable[[str], Tensor], *, max_shard_bytes: int
) -> None:
    """Write `make(name)` for each name, one shard after the other, so that one is in memory.

    Args:
        directory: where to, with no weights yet.
        sizes: bytes of each tensor, by name.
        make: gives the tensor of a name, contiguous, in memory of its own.
        max_shard_bytes: of tensors in a file; a tensor above it gets a file alone.
    """
    shards = _split(sizes, max_shard_bytes)
    files = [_SHARD.format(number, len(shards)) for number in range(1, len(shards) + 1)]
    if len(shards) == 1:
        files = [_WEIGHTS]
    for file, names in zip(files, shards, strict=True):
        # Not `save_file`: it hides the disk's errors, and lets nobody but the owner read the file.
        data = safetensors.torch.save({name: make(name) for name in names}, {"format": "pt"})
        (directory / file).write_bytes(data)
    if len(shards) > 1:
        weight_map = {
            name: file for file, names in zip(files, shards, strict=True) for name in names
        }
        total = {"total_size": sum(sizes.values())}
        write_json(directory / _INDEX, {"metadata": total, "weight_map": weight_map})


def _split(sizes: dict[str, int], max_shard_bytes: int) -> list[list[str]]:
    """The names in order, cut before each one that would take a shard over its size."""
    shards: list[list[str]] = [[]]
    used = 0
    for name, size in sizes.items():
        if shards[-1] and used + size > max_shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    return shards


@contextmanager
def open_weights(directory: Path) -> Generator[Weights]:
    """Open the weights in `directory`; tensors taken from them stay mapped after the block.

    Raises:
        FileNotFoundError: there are no weights, or a shard is missing.
        ValueError: a file is cut short or isn't safetensors, or the index tells of other weights
            than the shards hold.
    """
    weight_map = _read_index(directory)
    names = sorted(set(weight_map.values())) if weight_map else [_WEIGHTS]
    with ExitStack() as stack:
        files = {name: stack.enter_context(_open(directory / name)) for name in names}
        homes = {weight: name for name, file in files.items() for weight in file.keys()}  # noqa: SIM118
        if weight_map and homes != weight_map:
            differing = sorted(dict(homes.items() ^ weight_map.items()))
            raise ValueError(
                f"{directory / _INDEX} must say where each weight is, but the shards hold others"
                f" or elsewhere: {differing[:_MOST_NAMED]}; fetch or write the model again"
            )
        yield {weight: StoredWeight(weight, files[name]) for weight, name in homes.items()}


def _read_index(directory: Path) -> dict[str, str] | None:
    """The file of each weight; None where all are in one, which comes first as in transformers."""
    if (directory / _WEIGHTS).exists():
        return None
    if not (directory / _INDEX).exists():
        raise FileNotFoundError(
            f"{directory} must hold {_WEIGHTS} or {_INDEX}; pickled weights (.bin) are not read:"
            " let transformers load them, and save_pretrained write safetensors"
        )
    weight_map = read_json(directory / _INDEX).get("weight_map")
    # A bare name: an index from a stranger points to no file outside the directory.
    if not (
        isinstance(weight_map, dict)
        and weight_map
        and all(isinstance(file, str) and file == Path(file).name for file in weight_map.values())
    ):
        raise ValueError(
            f"the weight_map of {directory / _INDEX} must give a file beside it for each weight,"
            f" got {str(weight_map)[:200]}"
        )
    return weight_map


def _open(path: Path) -> safe_open:
    if not path.exists():
        raise FileNotFoundError(f"the shard {path} is missing: fetch or write the model again")
    try:
        # Mapped: the model's weights are then the file's own pages, with no copy beside them.
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error})") from error


def _sync(path: Path) -> None:
    """Wait until a file's content, or the names in a directory, are on the disk."""
    if path.is_dir() and sys.platform == "win32":  # which cannot open a directory
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
