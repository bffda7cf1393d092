"""Two schedules; of WSD, two lengths, which go the same way as long as both are level."""

from matplotlib.figure import Figure
from optimkit import cosine_schedule, wsd_schedule
from style import COLORS, axes

RATES = {"max_lr": 1.0, "min_lr": 1 / 70, "warmup_steps": 50}


def draw() -> Figure:
    """The learning rate of every step."""
    (ax,) = axes()
    steps = range(1_001)
    cosine = [cosine_schedule(step, **RATES, decay_steps=1_000) for step in steps]
    ax.plot(cosine, label="cosine")
    for decay_steps, line in ((1_000, ":"), (500, "-")):
        lengths = {"stable_steps": decay_steps * 4 // 5, "decay_steps": decay_steps}
        wsd = [wsd_schedule(step, **RATES, **lengths) for step in range(decay_steps + 1)]
        ax.plot(wsd, line, color=COLORS[1], label=f"WSD, {decay_steps:,} steps")
    ax.set(xlabel="step", ylabel="learning rate / max_lr", ylim=(0, 1.05))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax.figure
