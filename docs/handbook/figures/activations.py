"""The functions between the matrices of a feed-forward network."""

import torch
from matplotlib.figure import Figure
from nnparts.functional import gelu, relu2, silu
from style import axes


def draw() -> Figure:
    """Each near zero."""
    (ax,) = axes(6, 3)
    x = torch.linspace(-4, 2, 121)
    for name, f in {"SiLU": silu, "GELU": gelu, "ReLU": torch.relu, "ReLU²": relu2}.items():
        ax.plot(x.tolist(), f(x).tolist(), label=name)
    ax.set(xlabel="x", ylim=(-0.5, 2.5))
    ax.legend()
    return ax.figure
