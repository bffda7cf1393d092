"""Bytes that one token stands for: by size of the vocabulary, and by tokenizer and text."""

from matplotlib.figure import Figure
from style import COLORS, INK, axes, results


def draw() -> Figure:
    """Left, three growing vocabularies on their own kind of text; right, each on each text."""
    found = results("vocabularies")
    growth, table = axes(8, 3.2, columns=2)
    for name, corpus in found["corpora"].items():
        sizes = [int(size) for size in corpus["curve"]]
        growth.plot(sizes, corpus["curve"].values(), marker="o", markersize=3, label=name)
    growth.set(xscale="log", xlabel="vocabulary", ylabel="bytes a token", ylim=(0, None))
    growth.set_xticks([300, 1_000, 10_000, 30_000], ["300", "1,000", "10,000", "30,000"])
    growth.minorticks_off()
    growth.legend(
        title="trained and measured on", ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1)
    )
    width = 0.8 / len(found["bytes_a_token"])
    for row, (name, texts) in enumerate(found["bytes_a_token"].items()):
        places = [column + (row - 1.5) * width for column in range(len(texts))]
        color = COLORS[row] if name in found["corpora"] else INK
        label = "GPT-2" if name == "gpt2" else name
        table.bar(places, texts.values(), width=width * 0.92, color=color, label=label)
    table.set(xticks=range(len(texts)), xticklabels=texts, xlabel="text")
    table.grid(axis="x", visible=False)
    table.legend(title="tokenizer of", ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
    return table.figure
