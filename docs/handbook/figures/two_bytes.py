"""What each of the 65,536 pairs of bytes is in UTF-8: two characters, one, or nothing."""

from itertools import groupby

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from style import COLORS, axes


def characters(first: int, second: int) -> int:
    """Characters that two bytes decode to; 0 where they are no UTF-8."""
    try:
        return len(bytes([first, second]).decode())
    except UnicodeDecodeError:
        return 0


def runs(values: list) -> list[tuple[int, int, object]]:
    """Where each run of equal values starts, how long it is, and the value."""
    lengths = [(len(list(run)), value) for value, run in groupby(values)]
    starts = [sum(length for length, _ in lengths[:i]) for i in range(len(lengths))]
    return [(start, length, value) for start, (length, value) in zip(starts, lengths, strict=True)]


def draw() -> Figure:
    """One rectangle for each block of pairs that decode alike."""
    rows = [tuple(characters(first, second) for second in range(256)) for first in range(256)]
    (ax,) = axes(5.2, 4)
    for y, height, row in runs(rows):
        for x, width, count in runs(row):
            if count:
                ax.add_patch(Rectangle((x, y), width, height, color=COLORS[2 - count]))
    ticks = {"00": 0, "80": 128, "C0": 192, "FF": 256}
    ax.set(xlim=(0, 256), ylim=(256, 0), aspect="equal")
    ax.set(xticks=list(ticks.values()), xticklabels=ticks, xlabel="second byte")
    ax.set(yticks=list(ticks.values()), yticklabels=ticks, ylabel="first byte")
    ax.legend(
        [Rectangle((0, 0), 1, 1, color=color) for color in COLORS[:2]],
        ["two characters", "one character"],
        loc="upper left",
        bbox_to_anchor=(1, 1),
    )
    return ax.figure
