"""The state of a model as named tensors, under the same names however the model is wrapped."""

import torch
from optimkit import local_part
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

_COMPILED = "_orig_mod"  # torch.compile's name for the module inside
_MOST_NAMED = 10  # differences spelled out in an error; a wrong model has hundreds


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside torch.compile, DistributedDataParallel and DataParallel."""
    while True:
        if isinstance(compiled := getattr(model, _COMPILED, None), nn.Module):
            model = compiled
        elif isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        else:
            return model


def plain_name(name: str) -> str:
    """`name` without the parts that compiling a submodule puts in."""
    return name.replace(f"{_COMPILED}.", "")


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of `model` under its unwrapped names; the tensors are the model's own memory.

    Raises:
        ValueError: part of the state is not a tensor (`get_extra_state` may give anything).
    """
    state = {plain_name(name): value for name, value in unwrap(model).state_dict().items()}
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f"only tensors can be saved, the model's {', '.join(others)} is not one")
    return state


def check_model_tensors(saved: dict[str, Tensor], model: nn.Module) -> None:
    """Raise ValueError, listing the differences, unless `saved` has `model`'s names and shapes.

    Two names of one weight, as with tied embeddings, must also agree on what it is.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model_tensors(model).items()}
    found = {name: tuple(tensor.shape) for name, tensor in saved.items()}
    differences = [
        f"{name}: {found.get(name, 'missing')} in the checkpoint, "
        f"{wanted.get(name, 'missing')} in the model"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    if differences:
        more = len(differences) - _MOST_NAMED
        listed = differences[:_MOST_NAMED] + ([f"... and {more} more"] if more > 0 else [])
        raise ValueError(
            "the checkpoint is of another model; build the model from the config it was trained "
            "with. They differ in\n  " + "\n  ".join(listed)
        )
    for first, second in _names_of_one_weight(model):
        if not torch.equal(local_part(saved[first]), local_part(saved[second])):
            raise ValueError(
                f"{first} and {second} are one weight in the model, but differ in the checkpoint: "
                "build the model with the weights untied"
            )


def _names_of_one_weight(model: nn.Module) -> list[tuple[str, str]]:
    """Pairs of names under which the state dict of `model` has the same memory."""
    names: dict[tuple[int, int], str] = {}
    pairs: list[tuple[str, str]] = []
    for name, tensor in model_tensors(model).items():
        first = names.setdefault((local_part(tensor).data_ptr(), tensor.nbytes), name)
        if first != name and local_part(tensor).numel() and not tensor.is_meta:
            pairs.append((first, name))
    return pairs


@torch.no_grad()
def copy_model_tensors(saved: dict[str, Tensor], model: nn.Module) -> None:
    """Copy `saved`, once checked, into the model's own memory, on its device and in its dtype."""
    for name, tensor in model_tensors(model).items():
        tensor.copy_(saved[name])
