"""What the FLOPs of a forward pass go into: by the size of the model, and by its context."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from nnparts import accounting, preset
from nnparts.config import TransformerConfig
from style import axes

SIZES = ("small", "medium", "large", "xl")
CONTEXTS = (1024, 2048, 4096, 8192, 16384)


def shares(config: TransformerConfig) -> dict[str, float]:
    """The share of each part, in percent."""
    forward = accounting.forward_flops(config)
    mixing = forward["layers.*.attn.scores"] + forward["layers.*.attn.heads"]
    parts = {
        "ffn": forward["layers.*.ffn"],
        "attn: projections": forward["layers.*.attn"] - mixing,
        "attn: scores and heads": mixing,
        "lm_head": forward["lm_head"],
    }
    return {name: 100 * flops / forward.total for name, flops in parts.items()}


def stack(ax: Axes, bars: dict[str, dict[str, float]]) -> None:
    """One bar for each model, its parts on top of each other."""
    bottom = [0.0] * len(bars)
    for part in next(iter(bars.values())):
        heights = [bar[part] for bar in bars.values()]
        ax.bar(list(bars), heights, bottom=bottom, width=0.75, label=part)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    ax.grid(axis="x", visible=False)


def draw() -> Figure:
    """Left, GPT-2 small to XL; right, GPT-2 XL with longer and longer contexts."""
    by_size, by_context = axes(8, 3.8, columns=2)
    stack(by_size, {size: shares(preset(f"gpt2-{size}")) for size in SIZES})
    longer = {n: preset("gpt2-xl", context_length=n) for n in CONTEXTS}
    stack(by_context, {f"{n:,}": shares(config) for n, config in longer.items()})
    by_size.set(xlabel="gpt2, context 1,024", ylabel="% of forward FLOPs")
    by_context.set(xlabel="gpt2-xl, context")
    handles, labels = by_size.get_legend_handles_labels()
    by_size.figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return by_size.figure
