"""Presets: an app's defaults by name, from TOML files beside its code, under the flags typed."""

import argparse
import dataclasses
import tomllib
from collections.abc import Collection, Sequence
from importlib.resources import files
from typing import Any, TypeVar, get_type_hints

from prepare.help_screens import parse_flags

Config = TypeVar("Config")


def preset_names(package: str) -> list[str]:
    """The presets that `package` carries in its `presets` folder."""
    folder = files(package) / "presets"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_preset(config: type[Config], package: str, name: str) -> Config:
    """Makes a `config` from the preset's fields; those it does not name keep their defaults.

    Raises:
        ValueError: No preset has that name, or it sets a field that `config` does not have.
    """
    names = preset_names(package)
    if name not in names:
        raise ValueError(f"no preset is called {name!r}; {package} has {', '.join(names)}")
    fields = tomllib.loads((files(package) / "presets" / f"{name}.toml").read_text("utf-8"))
    return build_config(config, {**fields, "preset": name}, where=f"preset {name!r}")


def build_config(config: type[Config], fields: dict[str, Any], where: str) -> Config:
    """Makes a `config` from `fields`, which may hold dicts for the dataclasses within it.

    Raises:
        ValueError: A field that `config` does not have; `where` says whose it is.
    """
    fields = dict(fields)
    types = get_type_hints(config)
    for name, value in fields.items():
        if name not in types:
            raise ValueError(f"{where} sets {name!r}, which is no field of {config.__name__}")
        if dataclasses.is_dataclass(types[name]):
            fields[name] = build_config(types[name], value, f"{where}, table {name!r}")
        elif isinstance(value, list):
            fields[name] = tuple(value)
    return config(**fields)


def parse_command_line(
    config: type[Config],
    package: str,
    *,
    default: str,
    usual: Collection[str],
    arguments: Sequence[str] | None = None,
) -> Config:
    """Reads the command line: defaults, then the preset that `--preset` names, then the flags."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default=default)
    name = first.parse_known_args(arguments)[0].preset
    preset = read_preset(config, package, name)
    return parse_flags(preset, program=package, usual=usual, arguments=arguments)
