"""The default run's loss, above the entropy of the stories' source."""

from matplotlib.figure import Figure
from style import COLORS, INK, axes, results


def draw() -> Figure:
    """Loss of each update and of the validation text, the entropy as the floor."""
    run = results("stories_run")
    losses, entropy = run["losses"], run["source_entropy"]
    (ax,) = axes(7, 3)
    ax.plot(range(1, len(losses) + 1), losses, color=COLORS[0], linewidth=0.6, label="training")
    steps, valid = zip(*((int(s), loss) for s, loss in run["valid_losses"].items()), strict=True)
    ax.plot(steps, valid, "o-", color=COLORS[1], markersize=4, label="validation")
    ax.axhline(entropy, color=INK, linestyle="--", linewidth=1, label="entropy of the source")
    ax.set_yscale("log")
    ax.minorticks_off()
    ticks = [entropy, 0.6, 1, 2, 4, 7]
    ax.set_yticks(ticks, [f"{tick:.2g}" for tick in ticks])
    ax.set(xlabel="update", ylabel="nats a token", xlim=(1, len(losses)))
    ax.legend(loc="upper right")
    return ax.figure
