"""One side of the page: a run, its view of the prompt, its knobs, and the text it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import gradio as gr
from gradio.components import Component

from sample.config import SampleConfig
from sample.web.limits import Limits

Knob = gr.Slider | gr.Number | gr.Textbox

_TOKENS_JS = files("sample.web").joinpath("tokens.js").read_text("utf-8")


@dataclass(frozen=True, kw_only=True)
class Side:
    """What there is of each on the left and on the right.

    Attributes:
        is_shown: true, or the box that shows this side.
        column: all of it.
        run: which run.
        facts: what it is.
        tokens: the prompt's.
        place: `(prompt, place)` of the token that was clicked last, None before.
        expected: what the model expects at that place.
        text: what the model wrote.
        status: how that goes.
        take: makes the text the prompt.
        knobs: in the order of `Knobs.read`.
    """

    is_shown: gr.State | gr.Checkbox
    column: gr.Column
    run: gr.Dropdown
    facts: gr.HTML
    tokens: gr.HTML
    place: gr.State
    expected: gr.HTML
    text: gr.Textbox
    status: gr.HTML
    take: gr.Button
    knobs: list[Knob]

    def asked(self, prompt: gr.Textbox) -> list[Component]:
        """Inputs of what looks at the prompt or writes."""
        return [self.is_shown, prompt, self.run, self.place, *self.knobs]

    @property
    def seen(self) -> list[Component]:
        """Outputs of what looks at the prompt."""
        return [self.tokens, self.expected]


def build_side(
    name: str,
    runs: Sequence[str],
    run: str,
    limits: Limits,
    is_shown: gr.State | gr.Checkbox,
    *,
    visible: bool,
) -> Side:
    """Lays a side out, with `run` of `runs` chosen."""
    with gr.Column(min_width=320, elem_id=name, visible=visible) as column:
        chosen = gr.Dropdown(list(runs), value=run, label="Run", elem_classes="run")
        facts = gr.HTML(elem_classes="about")
        tokens = gr.HTML(js_on_load=_TOKENS_JS, elem_classes="prompt-tokens")
        expected = gr.HTML(elem_classes="expected")
        text = gr.Textbox(
            label="Text", lines=6, max_lines=30, interactive=False, elem_classes="text"
        )
        with gr.Row(elem_classes="below"):
            status = gr.HTML(elem_classes="status")
            take = gr.Button("Make it the prompt", size="sm", scale=0, elem_classes="take")
        knobs = _build_knobs(limits)
    return Side(
        is_shown=is_shown,
        column=column,
        run=chosen,
        facts=facts,
        tokens=tokens,
        place=gr.State(None),
        expected=expected,
        text=text,
        status=status,
        take=take,
        knobs=knobs,
    )


def _build_knobs(limits: Limits) -> list[Knob]:
    """One for each value of `Knobs.read`; they begin where the command's flags do."""
    usual = SampleConfig()
    with gr.Row(elem_classes="knobs"):
        return [
            _slider("max new tokens", 1, limits.new_tokens, usual.max_new_tokens, step=1),
            _slider("temperature", 0, 2, usual.temperature, step=0.05),
            _slider("top-p (1: all)", 0.01, 1, usual.top_p or 1, step=0.01),
            _slider("top-k (0: all)", 0, 200, usual.top_k or 0, step=1),
            _slider("min-p (0: all)", 0, 1, usual.min_p or 0, step=0.01),
            _slider("repetition penalty", 0.5, 2, usual.repetition_penalty, step=0.05),
            gr.Textbox(label="stop: one a line, \\n is a line end", lines=1, max_lines=4),
            gr.Number(usual.seed, label="seed", precision=0, minimum=0),
        ]


def _slider(label: str, least: float, most: float, value: float, *, step: float) -> gr.Slider:
    return gr.Slider(least, most, value, step=step, label=label, buttons=[])
