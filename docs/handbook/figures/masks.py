"""Which keys a query may look at, under three masks."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from nnparts.masks import causal_mask, document_mask, sliding_window_mask
from style import COLORS, FAINT, axes

SEQ, WINDOW = 8, 3
DOCUMENT_IDS = (0, 0, 0, 1, 1, 1, 1, 2)


def draw_mask(ax: Axes, mask: torch.Tensor) -> None:
    """A square for each query and key, full where the mask is True."""
    for query, row in enumerate(mask.tolist()):
        for key, may_look in enumerate(row):
            color = COLORS[0] if may_look else FAINT
            square = Rectangle((key - 0.4, query - 0.4), 0.8, 0.8, facecolor=color)
            square.set_alpha(1 if may_look else 0.4)
            ax.add_patch(square)
    ax.set(xlim=(-0.5, SEQ - 0.5), ylim=(SEQ - 0.5, -0.5), aspect="equal", xlabel="key")
    ax.set(xticks=range(SEQ), yticks=range(SEQ))
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def draw() -> Figure:
    """Causal; a sliding window; three documents in one row."""
    causal = causal_mask(SEQ, SEQ)
    masks = {
        "causal": causal,
        f"a window of {WINDOW}": sliding_window_mask(SEQ, SEQ, WINDOW),
        "three documents": causal & document_mask(torch.tensor(DOCUMENT_IDS)),
    }
    panels = axes(8, 3.4, columns=len(masks))
    for ax, (name, mask) in zip(panels, masks.items(), strict=True):
        draw_mask(ax, mask)
        ax.set_title(name)
    panels[0].set_ylabel("query")
    return panels[0].figure
