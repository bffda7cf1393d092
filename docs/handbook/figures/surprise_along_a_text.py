"""How surprised two checkpoints are by each token of a new story, and their perplexity so far."""

from itertools import accumulate
from math import exp

from matplotlib.figure import Figure
from style import axes, results

CHECKPOINTS = {"370": "after 370 updates", "1850": "after 1,850"}


def draw() -> Figure:
    """The tokens in two rows, a pair of bars each; below, the perplexity of all up to there."""
    along = results("stories_run")["along"]
    tokens = [piece.strip() for piece in along["pieces"]]
    *rows, below = axes(9, 7.5, rows=3)
    half = (len(tokens) + 1) // 2
    for ax, start in zip(rows, (0, half), strict=True):
        end = min(start + half, len(tokens))
        for shift, (step, label) in zip((-0.2, 0.2), CHECKPOINTS.items(), strict=True):
            places = [place + shift for place in range(start, end)]
            ax.bar(places, along["nats"][step][start:end], width=0.4, label=label)
        ax.set_xticks(range(start, end), tokens[start:end], rotation=90, fontsize=8)
        ax.set(ylabel="-ln P, nats", xlim=(start - 1, start + half))
        ax.grid(axis="x", visible=False)
    rows[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    for step, label in CHECKPOINTS.items():
        sums = accumulate(along["nats"][step])
        places = range(1, len(tokens) + 1)
        below.plot(places, [exp(total / at) for at, total in enumerate(sums, 1)], label=label)
    below.set_yscale("log")
    below.minorticks_off()
    below.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
    below.set(xlabel="tokens read", ylabel="perplexity so far", xlim=(1, len(tokens)))
    return below.figure
