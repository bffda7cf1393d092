"""The memory of a training step, by batch and by what is kept for the backward pass."""

from typing import Any

import torch
from matplotlib.figure import Figure
from nnparts import accounting, preset
from style import INK, axes

AVAILABLE = 80 * 10**9
BATCHES = range(0, 73)
WAYS: dict[str, dict[str, Any]] = {
    "reference": {"impl": "reference"},
    "fast": {},
    "fast, checkpointed blocks": {"checkpoint_blocks": True},
    "the same in bfloat16": {"checkpoint_blocks": True, "dtype": torch.bfloat16},
}


def draw() -> Figure:
    """A line for each way that cs336-xl can be trained, with a dot at the last batch that fits."""
    (ax,) = axes(7, 3.6)
    config = preset("cs336-xl")
    for name, options in WAYS.items():
        each = accounting.bytes_per_sequence(config, **options)
        fixed = accounting.memory(config, 1, **options).total - each
        ax.plot(BATCHES, [(fixed + batch * each) / 1e9 for batch in BATCHES], label=name)
        largest = accounting.largest_batch(config, AVAILABLE, **options)
        if largest in BATCHES:
            ax.plot(largest, (fixed + largest * each) / 1e9, "o", color=ax.lines[-1].get_color())
    ax.axhline(AVAILABLE / 1e9, color=INK, linestyle="--", linewidth=1)
    ax.set(xlim=(0, BATCHES[-1]), ylim=(0, 100), xlabel="sequences a batch", ylabel="GB")
    ax.legend()
    return ax.figure
