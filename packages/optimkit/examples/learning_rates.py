"""The toy learning-rate study of CS336: a greater rate is faster, faster, faster, and diverges.

    uv run --with matplotlib python packages/optimkit/examples/learning_rates.py learning_rates.png

Minimises mean(w^2) over 10 x 10 weights, drawn as 5 N(0, 1), by SGD whose rate decays as
lr / sqrt(t + 1) (Stanford CS336, spring 2025, assignment 1, section 4.2). The gradient is
2 w / 100, so a step multiplies every weight by 1 - lr / (50 sqrt(t + 1)): what a rate does can be
told in advance.

    lr = 1        0.98, 0.986, ...         a hundredth off, step after step
    lr = 10       0.8, 0.86, ...           ten times as fast
    lr = 100      -1, -0.41, -0.15, ...    overshoots to the mirror image, then falls like a stone
    lr = 1,000    -19, -13, -10.5, ...     overshoots further each time, until sqrt(t + 1) > 10
"""

import argparse
import math
from pathlib import Path

import torch
from optimkit import SGD

RATES = (1.0, 10.0, 100.0, 1_000.0)


def study(lr: float, steps: int = 10, seed: int = 0) -> list[float]:
    """The loss before each of `steps` updates, and after the last."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.nn.Parameter(5 * torch.randn(10, 10, generator=generator))
    optimizer = SGD([weights], lr=lr)
    losses: list[float] = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr / math.sqrt(step + 1)
        optimizer.zero_grad()
        loss = weights.square().mean()
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    return [*losses, weights.detach().square().mean().item()]


def plot(path: Path, steps: int = 10) -> None:
    """Draw the losses of all rates, on a logarithmic scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for lr in RATES:
        # Below 1e-6 there is only rounding to see.
        losses = [max(loss, 1e-6) for loss in study(lr, steps)]
        axes.plot(losses, marker="o", markersize=3, label=f"lr = {lr:,.0f}")
    axes.set(
        yscale="log",
        xlabel="updates",
        ylabel="mean(w²)",
        title="SGD at lr / sqrt(t + 1) on mean(w²)",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("image", type=Path, help="where the plot goes, such as rates.png")
    plot(parser.parse_args().image)
