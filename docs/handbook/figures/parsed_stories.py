"""How many of 200 stories have no mistake, by checkpoint, beside the loss."""

from matplotlib.figure import Figure
from style import axes, results


def draw() -> Figure:
    """Shares with an interval of two standard errors, and the validation loss, side by side."""
    run = results("stories_run")
    left, right = axes(7.5, 2.8, columns=2)
    checkpoints = {int(step): found for step, found in run["checkpoints"].items()}
    shares = [found["parse"] / found["count"] for found in checkpoints.values()]
    errors = [
        2 * (share * (1 - share) / found["count"]) ** 0.5
        for share, found in zip(shares, checkpoints.values(), strict=True)
    ]
    losses = [run["valid_losses"][str(step)] for step in checkpoints]
    left.plot(list(checkpoints), losses, marker="o")
    left.set(xlabel="updates", ylabel="validation loss, nats", ylim=(0.4, 1))
    right.errorbar(list(checkpoints), shares, yerr=errors, marker="o", capsize=3)
    right.set(xlabel="updates", ylabel="stories without a mistake", ylim=(0, 1))
    return left.figure
