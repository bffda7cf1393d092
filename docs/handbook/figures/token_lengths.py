"""How long the tokens of three vocabularies are."""

from matplotlib.figure import Figure
from style import axes, results

LONGEST = 20


def draw() -> Figure:
    """A line for each corpus: the share of its learned tokens that has so many bytes."""
    corpora = results("vocabularies")["corpora"]
    (ax,) = axes(7, 2.8)
    for name, corpus in corpora.items():
        lengths = corpus["lengths"]
        shares = [100 * count / sum(lengths) for count in lengths[2 : LONGEST + 1]]
        longer = 100 * sum(lengths[LONGEST + 1 :]) / sum(lengths)
        label = f"{name}; longer than {LONGEST}: {longer:.1f} %"
        ax.plot(range(2, 2 + len(shares)), shares, marker="o", markersize=3, label=label)
    ax.set(xlabel="bytes of a learned token", ylabel="% of them", xticks=range(2, LONGEST + 1, 2))
    ax.legend()
    return ax.figure
