"""Tokens for the same sentence in nine languages."""

from matplotlib.figure import Figure
from style import COLORS, INK, axes, results

SHOWN = {"web": COLORS[1], "gpt2": INK, "tales": COLORS[0]}


def draw() -> Figure:
    """A point for each tokenizer and language, and a line from the fewest tokens to the most."""
    tokens = results("vocabularies")["samples"]["tokens"]
    (ax,) = axes(7, 2.8)
    languages = list(tokens["web"])
    for place, language in enumerate(languages):
        counts = [tokens[name][language] for name in SHOWN]
        ax.plot([min(counts), max(counts)], [place, place], color=INK, linewidth=0.6, zorder=1)
    for name, color in SHOWN.items():
        label = "GPT-2" if name == "gpt2" else name
        ax.scatter(tokens[name].values(), range(len(languages)), color=color, label=label, s=28)
    ax.set(yticks=range(len(languages)), yticklabels=languages, xlim=(0, None), xlabel="tokens")
    ax.invert_yaxis()
    ax.legend(title="tokenizer of")
    return ax.figure
