"""One safetensors file or blob: named tensors, and a JSON description in its metadata.

Format: https://github.com/huggingface/safetensors. No pickle, so that opening a file from a
stranger runs nothing.
"""

import json
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

VERSION = 1
_METADATA = "groundup"


@runtime_checkable
class Readable(Protocol):
    """A binary file object to read from."""

    def read(self) -> bytes:
        """All the rest of its bytes."""
        ...


@runtime_checkable
class Writable(Protocol):
    """A binary file object to write to."""

    def write(self, data: bytes, /) -> object:
        """Append `data`."""
        ...


Tensors = dict[str, Tensor]
Description = dict[str, Any]


def write_tensors(out: Writable, tensors: Tensors, description: Description, *, kind: str) -> None:
    """Write `tensor_bytes` to a binary file object.

    Raises:
        OSError: the disk is full.
    """
    out.write(tensor_bytes(tensors, description, kind=kind))


def tensor_bytes(tensors: Tensors, description: Description, *, kind: str) -> bytes:
    """`tensors` and `description` as the bytes of a safetensors file, equal for equal content.

    The bytes are made in memory: the library's own `save_file` hides the disk's errors, leaves its
    staging file behind when killed, and lets nobody but the owner read the result. All metadata
    are under one key, because the library writes several in an order that changes.

    Args:
        tensors: name to tensor, on any device, of any strides; those that share memory are
            written once for each name.
        description: anything JSON can hold.
        kind: name of the format, that `read_tensors` will ask for.
    """
    metadata = {"format": kind, "version": VERSION, "description": description}
    return safetensors.torch.save(_independent(tensors), {_METADATA: json.dumps(metadata)})


def read_tensors(src: Path | Readable, *, kind: str) -> tuple[Tensors, Description]:
    """Read what `write_tensors` wrote, onto the CPU.

    Raises:
        FileNotFoundError: there is no file at the path.
        ValueError: it is not a whole safetensors file, or not of this `kind` and version.
    """
    try:
        tensors, metadata = _read_path(src) if isinstance(src, Path) else _read_object(src)
    except SafetensorError as error:
        raise ValueError(
            f"{_name(src)} is not a whole safetensors file ({error}); take another checkpoint"
        ) from error
    content = _content(metadata)
    found = content.get("format"), content.get("version")
    if found != (kind, VERSION):
        raise ValueError(
            f"{_name(src)} must be a {kind} of version {VERSION}, its metadata says "
            f"{found[0]} of version {found[1]}"
        )
    return tensors, content["description"]


def _content(metadata: dict[str, str]) -> dict[str, Any]:
    """What `tensor_bytes` put into the metadata, or what version 0.1 did, a key for each."""
    if _METADATA in metadata:
        return json.loads(metadata[_METADATA])
    content: dict[str, Any] = dict(metadata)
    if {"version", "description"} <= content.keys():
        content |= {name: json.loads(metadata[name]) for name in ("version", "description")}
    return content


def _read_path(path: Path) -> tuple[Tensors, dict[str, str]]:
    # pread, not mmap: a mapped file that another process truncates would kill this one.
    with safe_open(path, framework="pt", backend="pread") as file:
        return file.get_tensors(), file.metadata() or {}


def _read_object(src: Readable) -> tuple[Tensors, dict[str, str]]:
    data = src.read()
    tensors = safetensors.torch.load(data)
    # The library gives the metadata of files only. The header is a u64 length and that much JSON.
    header_end = 8 + int.from_bytes(data[:8], "little")
    return tensors, json.loads(data[8:header_end]).get("__metadata__", {})


def _independent(tensors: Tensors) -> Tensors:
    """Contiguous tensors that share no memory, as safetensors demands; copied only where needed."""
    seen: set[int] = set()
    result: Tensors = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        is_own = tensor.is_contiguous() and storage.nbytes() == tensor.nbytes
        is_first = storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        result[name] = tensor.detach() if is_own and is_first else tensor.detach().clone()
        result[name] = result[name].contiguous()
    return result


def _name(src: Path | Readable) -> str:
    return str(src) if isinstance(src, Path) else "the file object"
