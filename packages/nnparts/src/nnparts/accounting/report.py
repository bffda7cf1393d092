"""Each count as a text to read: what `python -m nnparts.accounting` prints."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Unpack

import torch

from nnparts import accounting
from nnparts.accounting import TrainingOptions, TrainingTime
from nnparts.config import TransformerConfig


def parameters(config: TransformerConfig, dtype: torch.dtype = torch.float32) -> str:
    """The tree of parameters, and the bytes that they take."""
    counts = accounting.parameters(config)
    size = f"{_gigabytes(counts.total * dtype.itemsize)} in {_name(dtype)}"
    return f"{counts.tree()}\n\n{counts.total:,} parameters are {size}"


def flops(
    config: TransformerConfig, batch_size: int = 1, *, checkpoint_blocks: bool = False
) -> str:
    """Every matrix product of a forward pass, and what a training step adds to them."""
    products = accounting.matmuls(config, batch_size)
    forward = accounting.forward_flops(config, batch_size).total
    backward = accounting.backward_flops(config, batch_size, checkpoint_blocks=checkpoint_blocks)
    parameters = accounting.parameters(config).total
    update = accounting.adamw_flops(config)
    header = ("matrix products", "times", "m", "k", "n", "2 m k n times", "share")
    rows = [
        (p.name, *(f"{n:,}" for n in (p.times, p.m, p.k, p.n, p.flops)), f"{p.flops / forward:.1%}")
        for p in products
    ]
    factor = f"{backward / forward:.3g} x forward"
    per_token = (forward + backward) // (batch_size * config.context_length)
    totals = [
        ("forward", f"{forward:,}", _power(forward)),
        ("backward", f"{backward:,}", factor),
        ("AdamW", f"{update:,}", f"{update // parameters} x parameters"),
        ("training step", f"{forward + backward + update:,}", _power(forward + backward + update)),
        ("forward and backward, a token", f"{per_token:,}", _power(per_token)),
    ]
    totals.insert(0, ("FLOPs", _batch(config, batch_size), ""))
    return f"{_table([header, *rows])}\n\n{_table(totals)}"


def shares(configs: Mapping[str, TransformerConfig]) -> str:
    """The share of each part of a block in the FLOPs of a forward pass, model by model."""
    columns = [_shares(config) for config in configs.values()]
    rows = [
        (part, *(f"{column[part] / sum(column.values()):.1%}" for column in columns))
        for part in columns[0]
    ]
    totals = [_power(sum(column.values())) for column in columns]
    return _table([("share of forward FLOPs", *configs), *rows, ("forward FLOPs", *totals)])


def _shares(config: TransformerConfig) -> dict[str, int]:
    forward = accounting.forward_flops(config)
    mixing = forward["layers.*.attn.scores"] + forward["layers.*.attn.heads"]
    return {
        "attn: projections": forward["layers.*.attn"] - mixing,
        "attn: scores and heads": mixing,
        "ffn": forward["layers.*.ffn"],
        "lm_head": forward["lm_head"],
    }


def activations(
    config: TransformerConfig, batch_size: int = 1, **options: Unpack[TrainingOptions]
) -> str:
    """The tree of what is kept for the backward pass."""
    counts = accounting.activations(config, batch_size, **options)
    return f"{counts.tree()}\n\n{_batch(config, batch_size)}: {_gigabytes(counts.total)}"


def memory(
    config: TransformerConfig,
    batch_size: int = 1,
    available: int | None = None,
    **options: Unpack[TrainingOptions],
) -> str:
    """The parts of a step's memory, their sum as an expression, the batch that fits."""
    parts = accounting.memory(config, batch_size, **options)
    each = accounting.bytes_per_sequence(config, **options)
    width = options.get("dtype", torch.float32).itemsize
    expressions = {
        "parameters": f"{width} P",
        "gradients": f"{width} P",
        "optimizer": f"{parts.optimizer // accounting.parameters(config).total} P",
    }
    rows = [
        (name, f"{size:,}", expressions.get(name, ""))
        for name, size in (*dataclasses.asdict(parts).items(), ("total", parts.total))
    ]
    header = ("bytes", _batch(config, batch_size), "")
    fixed = parts.total - batch_size * each
    lines = [
        _table([header, *rows]),
        "",
        f"total = {_gigabytes(fixed)} + {_gigabytes(each)} x batch",
    ]
    if available is not None:
        batch = accounting.largest_batch(config, available, **options)
        lines.append(f"largest batch in {_gigabytes(available)}: {batch:,}")
    return "\n".join(lines)


def time(time: TrainingTime, price_per_hour: float | None = None) -> str:
    """How long, and for how much."""
    lines = [
        f"{_power(time.flops)} FLOPs",
        f"{time.days:,.1f} days, {time.device_hours:,.0f} device hours",
    ]
    if price_per_hour is not None:
        lines.append(f"{time.cost(price_per_hour):,.0f} at {price_per_hour:,.2f} a device hour")
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _batch(config: TransformerConfig, batch_size: int) -> str:
    return f"{batch_size:,} x {config.context_length:,} tokens"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB"


def _power(number: int | float) -> str:
    return f"{number:.3g}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
