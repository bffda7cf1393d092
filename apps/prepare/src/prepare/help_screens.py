"""Two screens of help for one dataclass of flags: `--help`, the usual ones; `--help-all`, each.

tyro reads flags and draws help, but the short help it has, `compact_help`, leaves out the words,
and they are why help is asked for. So help is drawn for a twin of the dataclass, whose types carry
what is to be shown of each field.
"""

import dataclasses
import sys
from collections.abc import Collection, Sequence
from inspect import getdoc
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import tyro
from docstring_parser import parse_from_object

Config = TypeVar("Config")


def parse_flags(
    default: Config,
    *,
    program: str,
    usual: Collection[str],
    arguments: Sequence[str] | None = None,
) -> Config:
    """Reads `arguments`, or those of the process, over `default`.

    Args:
        default: A dataclass, perhaps of dataclasses, that says something about each of its fields.
        program: The command's name.
        usual: The fields that `--help` shows, each with its first sentence.
        arguments: What was typed after the command.

    Raises:
        SystemExit: Help was asked for and printed (0), or a flag is wrong (2).
    """
    typed = sys.argv[1:] if arguments is None else arguments
    about = getdoc(default) or ""
    if "--help-all" in typed:
        tyro.cli(_twin(default), prog=program, args=["--help"], description=about)
    if "--help" in typed or "-h" in typed:
        about += f"\n\nThe usual flags are below; {program} --help-all shows every one, in full."
        tyro.cli(_twin(default, usual), prog=program, args=["--help"], description=about)
    return tyro.cli(type(default), prog=program, args=typed, default=default)


def _twin(config: Any, usual: Collection[str] | None = None) -> type[Any]:
    """A dataclass with the fields and values of `config`, the words of each in its type."""
    words, hints = _words(type(config)), get_type_hints(type(config), include_extras=True)
    twins: list[tuple[str, Any, Any]] = []
    for name in (field.name for field in dataclasses.fields(config)):
        hint, value = hints[name], getattr(config, name)
        if dataclasses.is_dataclass(value):
            twin = _twin(value, usual)
            hint = Annotated[(twin, *get_args(hint)[1:])] if get_origin(hint) is Annotated else twin
            twins.append((name, hint, dataclasses.field(default_factory=twin)))
        elif usual is None:
            twins.append((name, Annotated[hint, tyro.conf.arg(help=words[name])], value))
        elif name in usual:
            help_text = _first_sentence(words[name])
            twins.append((name, Annotated[hint, tyro.conf.arg(help=help_text)], value))
        else:
            twins.append((name, tyro.conf.Suppress[hint], value))
    return dataclasses.make_dataclass(type(config).__name__, twins, namespace={"__doc__": ""})


def _words(config: type[Any]) -> dict[str, str]:
    """What is said of each field, below it or in the class's docstring, in one line."""
    params = [param for base in config.__mro__[:-1] for param in parse_from_object(base).params]
    return {param.arg_name: " ".join((param.description or "").split()) for param in params[::-1]}


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")
