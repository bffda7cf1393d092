"""What a model costs, asked at the command line.

python -m nnparts.accounting parameters  --config gpt2-xl
python -m nnparts.accounting flops       --config gpt2-xl --context 512 --batch 8
python -m nnparts.accounting shares      --configs gpt2-small gpt2-xl
python -m nnparts.accounting memory      --config gpt2-xl --dtype bfloat16 --memory 80GB
python -m nnparts.accounting activations --config gpt2-xl --checkpoint-blocks
python -m nnparts.accounting time        --config gpt2-xl --batch 1024 --steps 400e3 --peak 312e12
python -m nnparts.accounting mfu         --config gpt2-xl --tokens-per-second 15e3 --peak 312e12

Any field of TransformerConfig is a flag, too, over a preset or without one: --d-ff 6400.
"""

import argparse
import ast
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, get_args

import torch

from nnparts.accounting import report
from nnparts.accounting.activations import Loss
from nnparts.accounting.memory import TrainingOptions
from nnparts.accounting.speed import model_flops_utilization, training_time
from nnparts.config import TransformerConfig
from nnparts.kernels import Impl
from nnparts.presets import PRESETS, preset

_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
# RoPE's scaling costs nothing, and a structure is no flag.
_FIELDS = [f.name for f in dataclasses.fields(TransformerConfig) if f.name != "rope_scaling"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the answer to the question that the arguments ask."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        print(options.answer(options))
    except ValueError as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nnparts.accounting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    questions = parser.add_subparsers(metavar="question", required=True)
    for name, (answer, flags) in _QUESTIONS.items():
        question = questions.add_parser(name, help=answer.__doc__, description=answer.__doc__)
        question.set_defaults(answer=answer)
        for flag in flags:
            question.add_argument(f"--{flag}", **_FLAGS[flag])
        _add_fields(question)
    return parser


def _add_fields(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("fields of TransformerConfig", "over a preset, or without")
    for name in _FIELDS:
        flags = [f"--{name.replace('_', '-')}"]
        if name == "context_length":
            flags.append("--context")
        group.add_argument(*flags, dest=name, type=_literal, default=argparse.SUPPRESS)


def _literal(text: str) -> object:
    """A number, True, False or None as in Python, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _whole(text: str) -> int:
    """A whole number, also as 400e3."""
    number = float(text)
    if not number.is_integer():
        raise ValueError
    return int(number)


def _positive(text: str) -> float:
    """A number above 0."""
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return number


def _bytes(text: str) -> int:
    """80GB, 80GiB, or a plain number."""
    number = text.rstrip("KMGTiB")
    unit = text.removeprefix(number)
    try:
        return int(float(number) * {"": 1, **_BYTES}[unit])
    except (KeyError, OverflowError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            f"a number, and one of {', '.join(_BYTES)} or no unit, as in 80GB, got {text!r}"
        ) from error


_FLAGS: dict[str, dict[str, Any]] = {
    "config": {"choices": PRESETS, "metavar": "PRESET", "help": "one of %(choices)s"},
    "configs": {"choices": PRESETS, "metavar": "PRESET", "nargs": "+", "required": True},
    "batch": {"type": _whole, "default": 1, "help": "sequences in a step (%(default)s)"},
    "dtype": {"choices": ("float32", "bfloat16", "float16"), "default": "float32"},
    "impl": {"choices": get_args(Impl), "default": "fast", "help": "see kernels.py (%(default)s)"},
    "checkpoint-blocks": {"action": "store_true", "help": "keep the inputs of blocks alone"},
    "loss": {"choices": get_args(Loss), "default": "whole", "help": "chunked: no logits are kept"},
    "memory": {"type": _bytes, "help": "to fit in; 80GB is 80e9 bytes, 80GiB 80 x 2^30"},
    "steps": {"type": _whole, "required": True, "help": "of the optimizer"},
    "peak": {"type": _positive, "required": True, "help": "FLOP/s of one device at its best"},
    "mfu": {"type": float, "default": 0.5, "help": "share of it that is reached (%(default)s)"},
    "devices": {"type": _whole, "default": 1, "help": "side by side (%(default)s)"},
    "price": {"type": float, "help": "of a device for an hour"},
    "tokens-per-second": {"type": float, "required": True, "help": "measured, in training"},
}


def _parameters(options: argparse.Namespace) -> str:
    """How many parameters, module by module, and their bytes."""
    return report.parameters(_config(options), getattr(torch, options.dtype))


def _flops(options: argparse.Namespace) -> str:
    """The matrix products of a forward pass, and the operations of a training step."""
    return report.flops(
        _config(options), options.batch, checkpoint_blocks=options.checkpoint_blocks
    )


def _shares(options: argparse.Namespace) -> str:
    """The shares of the parts in the FLOPs, model by model."""
    return report.shares({name: _config(options, name) for name in options.configs})


def _activations(options: argparse.Namespace) -> str:
    """The tensors kept for the backward pass, and their bytes."""
    return report.activations(_config(options), options.batch, **_training(options))


def _memory(options: argparse.Namespace) -> str:
    """The bytes of a training step, and the largest batch that fits."""
    return report.memory(_config(options), options.batch, options.memory, **_training(options))


def _time(options: argparse.Namespace) -> str:
    """How long a training takes, and what it costs."""
    time = training_time(
        _config(options),
        batch_size=options.batch,
        num_steps=options.steps,
        peak_flops=options.peak,
        mfu=options.mfu,
        num_devices=options.devices,
    )
    return report.time(time, options.price)


def _mfu(options: argparse.Namespace) -> str:
    """How much of a device a measured training uses."""
    mfu = model_flops_utilization(
        _config(options), tokens_per_second=options.tokens_per_second, peak_flops=options.peak
    )
    return f"{mfu:.1%} of {options.peak:.3g} FLOP/s"


def _config(options: argparse.Namespace, name: str | None = None) -> TransformerConfig:
    """The preset, if there is one, with the fields that were given."""
    name = name or options.config
    fields = {field: value for field, value in vars(options).items() if field in _FIELDS}
    if name is not None:
        return preset(name, **fields)
    try:
        return TransformerConfig(**fields)
    except TypeError as error:
        raise ValueError(f"give --config or every size: {error}") from error


def _training(options: argparse.Namespace) -> TrainingOptions:
    return {
        "dtype": getattr(torch, options.dtype),
        "impl": options.impl,
        "checkpoint_blocks": options.checkpoint_blocks,
        "loss": options.loss,
    }


_MODEL = ("config", "batch")
_QUESTIONS: dict[str, tuple[Callable[[argparse.Namespace], str], tuple[str, ...]]] = {
    "parameters": (_parameters, ("config", "dtype")),
    "flops": (_flops, (*_MODEL, "checkpoint-blocks")),
    "shares": (_shares, ("configs",)),
    "activations": (_activations, (*_MODEL, "dtype", "impl", "checkpoint-blocks", "loss")),
    "memory": (_memory, (*_MODEL, "dtype", "impl", "checkpoint-blocks", "loss", "memory")),
    "time": (_time, (*_MODEL, "steps", "peak", "mfu", "devices", "price")),
    "mfu": (_mfu, ("config", "tokens-per-second", "peak")),
}

if __name__ == "__main__":
    main()
