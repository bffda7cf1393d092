"""Fields of a run by the names that `train` takes as flags: `max-lr`, `model.norm`."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro
from prepare.presets import preset_names, read_preset

from train.config import RunConfig
from train.directories import asked, leaves

# A point has its own, or the sweep has one for all.
_NOT_FOR_POINTS = {"preset", "out", "resume", "allow", "fall-back"}


def field_name(name: str) -> str:
    """The flag of a field, however it was written: `training.max_lr` is `max-lr`.

    Raises:
        ValueError: no field of a run is called so; those that are called much the same are named.
    """
    known = [_flag(leaf) for leaf, _ in leaves(asked(RunConfig()))]
    known = [flag for flag in known if flag not in _NOT_FOR_POINTS]
    flag = _flag(name).removeprefix("training.")
    if flag not in known:
        near = difflib.get_close_matches(flag, known, n=3) or known
        raise ValueError(f"no field of a run is called {name!r}; there is {', '.join(near)}")
    return flag


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A TOML table's values by field: `{"model": {"norm": "none"}}` is `{"model.norm": "none"}`.

    Raises:
        ValueError: a field that a run does not have.
    """
    values: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            values |= flatten(value, f"{prefix}{name}.")
        else:
            values[field_name(prefix + name)] = value
    return values


def flags(values: Mapping[str, Any]) -> list[str]:
    """What is typed after `train` to set fields so."""
    return [word for name, value in values.items() for word in _typed(name, value)]


def run_config(preset: str, values: Mapping[str, Any], out: Path) -> RunConfig:
    """What `train` would understand: the preset, and `values` over it.

    Raises:
        ValueError: there is no such preset, or a field cannot be what it is set to, alone or with
            the others.
    """
    if preset not in preset_names("train"):
        raise ValueError(f"preset must be one of {preset_names('train')}, got {preset!r}")
    default = replace(read_preset(RunConfig, "train", preset), out=out)
    words = flags(values)
    try:
        config = tyro.cli(RunConfig, args=words, default=default, console_outputs=False)
    except SystemExit as error:
        raise ValueError(
            f"{' '.join(words)}: a value that its field cannot have; see uv run train --help"
        ) from error
    config.model.with_vocabulary(1)  # raises ValueError where the shape is none of a model
    return config


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _typed(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        head, _, last = name.rpartition(".")
        prefix = f"{head}." if head else ""
        return [f"--{prefix}{last}" if value else f"--{prefix}no-{last}"]
    return [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
