"""The size of a signal behind many linear maps, by how their weights began."""

import torch
from matplotlib.figure import Figure
from nnparts import Linear
from style import axes

WIDTH, DEPTH = 256, 16


def sizes(scale: float) -> list[float]:
    """Root mean square of a signal before and behind each map, its weight `scale` times as large.

    In float64, so that what processors round differently can't be seen.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, WIDTH, generator=generator, dtype=torch.float64)
    found = [x]
    for _ in range(DEPTH):
        weight = Linear(WIDTH, WIDTH, dtype=torch.float64, generator=generator).weight.detach()
        found.append(found[-1] @ (scale * weight).T)
    return [signal.square().mean().sqrt().item() for signal in found]


def draw() -> Figure:
    """As it is, half of it, and twice of it."""
    (ax,) = axes(6, 3)
    for scale, label in ((2, "twice as large"), (1, "Linear's own"), (0.5, "half as large")):
        ax.plot(sizes(scale), marker="o", markersize=3, label=label)
    ax.set(yscale="log", xlabel="linear maps", ylabel="root mean square")
    ax.legend(title="standard deviation of W")
    return ax.figure
