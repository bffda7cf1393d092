"""Counting and merging: seconds that learning takes on three corpora."""

from matplotlib.figure import Figure
from style import axes, results


def draw() -> Figure:
    """A bar for each corpus, of two parts."""
    corpora = results("vocabularies")["corpora"]
    (ax,) = axes(7, 1.9)
    names = [
        f"{name}, {corpus['train_bytes'] / 1e6:.0f} MB, {corpus['vocab_size']:,}"
        for name, corpus in corpora.items()
    ]
    left = [0.0] * len(names)
    for label, key in {"counting": "count_seconds", "merging": "merge_seconds"}.items():
        width = [corpus[key] for corpus in corpora.values()]
        ax.barh(names, width, left=left, height=0.6, label=label)
        left = [start + length for start, length in zip(left, width, strict=True)]
    ax.invert_yaxis()
    ax.set(xlabel="seconds, two threads")
    ax.grid(axis="y", visible=False)
    ax.legend(loc="upper right")
    return ax.figure
