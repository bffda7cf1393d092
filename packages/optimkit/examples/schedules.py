"""All schedules in one picture.

uv run --with matplotlib python packages/optimkit/examples/schedules.py schedules.png
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from optimkit import (
    constant_schedule,
    cosine_schedule,
    inverse_sqrt_schedule,
    linear_schedule,
    wsd_schedule,
)

STEPS = 1_000
RISE = {"max_lr": 1.0, "warmup_steps": 50}
FALL = RISE | {"min_lr": 0.1, "decay_steps": STEPS}
SCHEDULES: dict[str, Callable[[int], float]] = {
    "constant": partial(constant_schedule, **RISE),
    "inverse square root": partial(inverse_sqrt_schedule, **RISE),
    "cosine": partial(cosine_schedule, **FALL),
    "linear": partial(linear_schedule, **FALL),
    "WSD, 1-sqrt": partial(wsd_schedule, **FALL, stable_steps=800),
    "WSD, linear": partial(wsd_schedule, **FALL, stable_steps=800, decay="linear"),
}


def values(schedule: Callable[[int], float], steps: int = STEPS) -> list[float]:
    """The learning rate of every step from 0 to `steps`."""
    return [schedule(step) for step in range(steps + 1)]


def plot(path: Path) -> None:
    """Draw every schedule."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, schedule in SCHEDULES.items():
        axes.plot(values(schedule), label=name, linestyle=":" if name == "WSD, linear" else "-")
    axes.set(xlabel="step", ylabel="learning rate / max_lr", ylim=(0, 1.05))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", bbox_to_anchor=(0.07, 0.02))
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("image", type=Path, help="where the plot goes, such as schedules.png")
    plot(parser.parse_args().image)
