"""The state of any torch optimizer as named tensors and a JSON description.

Tensors are named `<index>.<state name>`, such as `3.exp_avg`, with the index of the parameter in
`optimizer.state_dict()`. Everything else (hyperparameters, scalar states) is in the description,
and so are the names of the parameters, by which a checkpoint of another model is known.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.model_state import plain_name, unwrap


def optimizer_tensors(
    optimizer: Optimizer, model: nn.Module
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of `optimizer`, whose parameters are those of `model`.

    Returns:
        `(tensors, description)`; `load_optimizer_tensors` takes both.

    Raises:
        ValueError: a state or hyperparameter is neither a tensor nor something JSON can hold.
    """
    state = optimizer.state_dict()["state"]
    named = [(f"{index}.{name}", value) for index in state for name, value in state[index].items()]
    description = {
        "class": type(optimizer).__name__,
        "parameters": _parameter_names(optimizer, model),
        "param_groups": [
            {name: _plain(name, value) for name, value in group.items() if name != "params"}
            for group in optimizer.param_groups
        ],
        "scalars": {name: _plain(name, value) for name, value in named if not _is_tensor(value)},
    }
    return {name: value for name, value in named if _is_tensor(value)}, description


def check_optimizer_tensors(
    description: dict[str, Any], optimizer: Optimizer, model: nn.Module
) -> None:
    """Raise ValueError unless `description` is of such an optimizer over the same parameters."""
    kind = type(optimizer).__name__
    if description["class"] != kind:
        raise ValueError(
            f"the checkpoint's optimizer is {description['class']}, this one is {kind}; build the "
            "same, or pass optimizer=None to load the weights alone"
        )
    saved, wanted = description["parameters"], _parameter_names(optimizer, model)
    if saved != wanted:
        raise ValueError(
            "the checkpoint's optimizer has other parameter groups: "
            f"{[len(group) for group in saved]} parameters a group, this one has "
            f"{[len(group) for group in wanted]}, or the same in another order; group them as in "
            "the run that saved it"
        )


def load_optimizer_tensors(
    tensors: dict[str, Tensor], description: dict[str, Any], optimizer: Optimizer
) -> None:
    """Put a saved state, once checked, into `optimizer`, each tensor in the dtype it was saved in.

    In torch's own optimizers, which compute in the dtype of a parameter alone, states take that.

    Hyperparameters that the checkpoint does not know keep their value.
    """
    state: dict[int, dict[str, Any]] = {}
    for name, value in (description["scalars"] | tensors).items():
        index, _, state_name = name.partition(".")
        state.setdefault(int(index), {})[state_name] = value
    groups = [
        current | {name: _like(current.get(name), value) for name, value in saved.items()}
        for current, saved in zip(
            optimizer.state_dict()["param_groups"], description["param_groups"], strict=True
        )
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    _restore_dtypes(state, optimizer)


def _restore_dtypes(saved: dict[int, dict[str, Any]], optimizer: Optimizer) -> None:
    """Undo torch's cast of the states to the parameter's dtype, which loses bits below fp32."""
    if type(optimizer).__module__.startswith("torch.optim."):
        return  # its AdamW refuses a step where moments and weights are of two dtypes
    for index, parameter in enumerate(_parameters(optimizer)):
        loaded = optimizer.state.get(parameter, {})
        for name, value in saved.get(index, {}).items():
            if _is_tensor(value) and loaded[name].dtype != value.dtype:
                loaded[name] = value.to(loaded[name].device)


def _parameters(optimizer: Optimizer) -> Iterator[nn.Parameter]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])


def _parameter_names(optimizer: Optimizer, model: nn.Module) -> list[list[str | None]]:
    """The names of each group's parameters; None for one that is not the model's."""
    names = {
        id(parameter): plain_name(name) for name, parameter in unwrap(model).named_parameters()
    }
    return [
        [names.get(id(parameter)) for parameter in group["params"]]
        for group in optimizer.param_groups
    ]


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _plain(name: str, value: object) -> object:
    """`value` as JSON can hold it."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(name, item) for item in value]
    raise ValueError(
        f"the optimizer's {name} must be a tensor, a number, a string or a list of these to be "
        f"saved, got {type(value).__name__}"
    )


def _like(current: object, saved: object) -> object:
    """`saved`, which went through JSON, in the type of the optimizer's `current` value."""
    if isinstance(current, tuple) and isinstance(saved, list):
        return tuple(saved)
    if isinstance(current, Tensor):
        return torch.as_tensor(saved, dtype=current.dtype, device=current.device)
    return saved
