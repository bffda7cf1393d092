"""Bytes a character of one sentence in nine languages, in three encodings."""

import json
from pathlib import Path

from matplotlib.figure import Figure
from style import axes

ENCODINGS = {"UTF-8": "utf-8", "UTF-16": "utf-16-le", "UTF-32": "utf-32-le"}


def draw() -> Figure:
    """Three bars for each language."""
    text = Path("docs/handbook/texts/human_rights.json").read_text("utf-8")
    sentences = json.loads(text)["sentences"]
    (ax,) = axes(7, 3.2)
    for bar, (label, encoding) in enumerate(ENCODINGS.items()):
        sizes = [len(sentence.encode(encoding)) / len(sentence) for sentence in sentences.values()]
        places = [language + (bar - 1) * 0.27 for language in range(len(sentences))]
        ax.bar(places, sizes, width=0.25, label=label)
    ax.set(ylabel="bytes a character", xticks=range(len(sentences)), xticklabels=sentences)
    ax.grid(axis="x", visible=False)
    ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax.figure
