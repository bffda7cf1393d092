"""Probabilities of the likeliest next words at two places of a story, under several settings."""

import torch
from matplotlib.figure import Figure
from style import axes, results
from trainkit import Sampling, next_token_probs

SHOWN = 20
SETTINGS = {
    "temperature 1": Sampling(),
    "temperature 0.5": Sampling(0.5),
    "temperature 1.5": Sampling(1.5),
    "1.5, top_k 10": Sampling(1.5, top_k=10),
    "1.5, top_p 0.9": Sampling(1.5, top_p=0.9),
    "1.5, min_p 0.1": Sampling(1.5, min_p=0.1),
}


def draw() -> Figure:
    """A row for each setting, a column for each place; what was cut off has no bar."""
    run = results("stories_run")
    grid = axes(8, 9, rows=len(SETTINGS), columns=len(run["places"]))
    for column, (name, place) in enumerate(run["places"].items()):
        logits = torch.tensor(place["logits"])
        order = logits.argsort(descending=True, stable=True)[:SHOWN]
        words = [run["vocabulary"][token_id].strip() or "space" for token_id in order.tolist()]
        panels = grid[column :: len(run["places"])]
        for ax, (label, sampling) in zip(panels, SETTINGS.items(), strict=True):
            probs = next_token_probs(logits, sampling)[order].tolist()
            ax.bar(range(SHOWN), probs)
            ax.set(yscale="log", ylim=(1e-6, 2), title=f"{name}: {label}")
            ax.set_xticks([])
        panels[-1].set_xticks(range(SHOWN), words, rotation=90, fontsize=8)
    return grid[0].figure
