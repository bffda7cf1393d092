"""The page's layout, and which answer goes where."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.themes import Base

from sample.config import SampleConfig
from sample.web.knobs import Knobs
from sample.web.limits import Limits
from sample.web.playground import Errors, Playground, error_html
from sample.web.runs import Runs

# Fonts that are there: gradio's own would do as well, but these are the visitor's.
THEME = Base(
    primary_hue="indigo",
    neutral_hue="slate",
    font=["ui-sans-serif", "system-ui", "sans-serif"],
    font_mono=["ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"],
)
STYLE = files("sample.web").joinpath("page.css").read_text("utf-8")
_TOKENS_JS = files("sample.web").joinpath("tokens.js").read_text("utf-8")
Knob = gr.Slider | gr.Number | gr.Textbox
_AS_ONE_TYPES: dict[str, Any] = {
    "queue": False,
    "trigger_mode": "always_last",
    "show_progress": "hidden",
    "api_visibility": "private",
}


@dataclass(frozen=True, kw_only=True)
class Side:
    """What there is of each on the left and on the right.

    Attributes:
        is_shown: True, or the box that shows this side.
        column: all of it.
        run: which run.
        facts: what it is.
        tokens: the prompt's.
        place: which of them is looked at; None for the end.
        text: what the model wrote.
        status: how that goes.
        take: makes the text the prompt.
        expected: what the model expects at `place`.
        knobs: in the order of `Knobs.read`.
    """

    is_shown: gr.State | gr.Checkbox
    column: gr.Column
    run: gr.Dropdown
    facts: gr.HTML
    tokens: gr.HTML
    place: gr.State
    text: gr.Textbox
    status: gr.HTML
    take: gr.Button
    expected: gr.HTML
    knobs: list[Knob]

    def asked(self, prompt: gr.Textbox) -> list[Component]:
        """Inputs of what looks at the prompt or writes."""
        return [self.is_shown, prompt, self.run, self.place, *self.knobs]


def build_page(runs: Runs, limits: Limits | None = None) -> gr.Blocks:
    """The page, for `runs`, the second of which is beside the first where there are two."""
    limits = limits or Limits()
    playground = Playground(runs, limits)
    has_two = len(runs.names) > 1
    with gr.Blocks(title="groundup", analytics_enabled=False, fill_width=True) as page:
        prompt = gr.Textbox(
            label="Prompt",
            placeholder="Type: the tokens appear below. With nothing, the model begins by itself.",
            lines=2,
            max_lines=8,
            max_length=limits.characters,
            elem_id="prompt",
        )
        with gr.Row(elem_id="actions"):
            write = gr.Button("Write", variant="primary", scale=0, elem_id="write")
            stop = gr.Button("Stop", scale=0, elem_id="stop")
            compare = gr.Checkbox(
                has_two, label="two side by side", container=False, scale=0, elem_id="compare"
            )
        with gr.Row(equal_height=False):
            left = _side("left", runs.names, runs.names[0], limits, gr.State(True))
            right = _side("right", runs.names, runs.names[-1], limits, compare)
        right.column.visible = has_two
        compare.change(_shows, compare, right.column, **_AS_ONE_TYPES)
        writing = [_answer(page, playground, side, prompt, write) for side in (left, right)]
        _connect_takes(playground, (left, right), prompt)
        status = [left.status, right.status]
        stop.click(_stopped, status, status, cancels=writing, **_AS_ONE_TYPES)
    page.queue(max_size=limits.texts_waiting, default_concurrency_limit=limits.texts_at_once)
    return page


def _side(
    name: str, runs: Sequence[str], run: str, limits: Limits, is_shown: gr.State | gr.Checkbox
) -> Side:
    with gr.Column(min_width=320, elem_id=name) as column:
        chosen = gr.Dropdown(list(runs), value=run, label="Run", elem_classes="run")
        about = gr.HTML(elem_classes="about")
        tokens = gr.HTML(js_on_load=_TOKENS_JS, elem_classes="shown-tokens")
        text = gr.Textbox(
            label="Text", lines=7, max_lines=24, interactive=False, elem_classes="text"
        )
        with gr.Row(elem_classes="below"):
            status = gr.HTML(elem_classes="status")
            take = gr.Button("Make it the prompt", size="sm", scale=0, elem_classes="take")
        expected = gr.HTML(elem_classes="expected")
        knobs = _knobs(limits)
    return Side(
        is_shown=is_shown,
        column=column,
        run=chosen,
        facts=about,
        tokens=tokens,
        place=gr.State(None),
        text=text,
        status=status,
        take=take,
        expected=expected,
        knobs=knobs,
    )
    gr.on([knob.change for knob in side.knobs[1:6]], look.again, asked, seen, **_AS_ONE_TYPES)
    side.tokens.click(look.at_token, asked, seen, **_AS_ONE_TYPES)

    def written(
        request: gr.Request, is_shown: bool, prompt: str, run: str, _place: object, *knobs: object
    ) -> Generator[Any]:
        yield gr.skip(), gr.skip()  # of no texts at all gradio makes an error
        if not is_shown:
            return
        try:
            for text, status in playground.write(_address(request), run, prompt, Knobs.read(knobs)):
                yield text, f'<p role="status">{status}</p>'
        except Errors as error:
            yield gr.skip(), error_html(error)

    return write.click(
        written, asked, [side.text, side.status], show_progress="hidden", api_visibility="private"
    )


class _Looking:
    """What is shown of a side's prompt: the place, the tokens, and what is expected there."""

    def __init__(self, playground: Playground) -> None:
        self._playground = playground

    def again(
        self,
        request: gr.Request,
        is_shown: bool,
        prompt: str,
        run: str,
        place: int | None,
        *knobs: object,
    ) -> Any:
        """Where it was looked at before."""
        if not is_shown:
            return gr.skip()
        try:
            look = self._playground.look(_address(request), run, prompt, place, Knobs.read(knobs))
        except Errors as error:
            return place, error_html(error), ""
        return place, *look

    def at_the_end(
        self, request: gr.Request, is_shown: bool, prompt: str, run: str, _: object, *knobs: object
    ) -> Any:
        """What comes next: one who types looks at the end."""
        return self.again(request, is_shown, prompt, run, None, *knobs)

    def at_token(
        self,
        request: gr.Request,
        event: gr.EventData,
        is_shown: bool,
        prompt: str,
        run: str,
        _: object,
        *knobs: object,
    ) -> Any:
        """In place of the token that was clicked."""
        return self.again(request, is_shown, prompt, run, int(event.place), *knobs)


def _connect_takes(playground: Playground, sides: Sequence[Side], prompt: gr.Textbox) -> None:
    look = _Looking(playground)
    for side in sides:
        taken = side.take.click(_same, side.text, prompt, **_AS_ONE_TYPES)
        for shown in sides:
            taken.then(
                look.at_the_end,
                shown.asked(prompt),
                [shown.place, shown.tokens, shown.expected],
                **_AS_ONE_TYPES,
            )


def _same(text: str) -> str:
    return text


def _shows(is_shown: bool) -> Any:
    return gr.update(visible=is_shown)


def _changes_of(component: gr.State | gr.Checkbox) -> list[Any]:
    return [component.change] if isinstance(component, gr.Checkbox) else []


def _stopped(*status: str | None) -> list[str]:
    return [(text or "").replace(" \u2026", ", stopped") for text in status]


def _address(request: gr.Request) -> str:
    return request.client.host if request.client else ""
