"""The page: its layout, and which answer goes where."""

from collections.abc import Generator
from importlib.resources import files
from typing import Any

import gradio as gr
from gradio.themes import Base

from sample.web.knobs import Knobs
from sample.web.limits import Limits
from sample.web.playground import Errors, Playground, error_html
from sample.web.runs import Runs
from sample.web.side import Side, build_side
from sample.web.stops import Stops

# The visitor's own fonts: most of gradio's themes would ask another host for theirs.
THEME = Base(
    primary_hue="indigo",
    neutral_hue="slate",
    font=["ui-sans-serif", "system-ui", "sans-serif"],
    font_mono=["ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"],
)
STYLE = files("sample.web").joinpath("page.css").read_text("utf-8")

_AT_ONCE: dict[str, Any] = {
    "queue": False,  # it would wait there behind the texts
    "trigger_mode": "always_last",
    "show_progress": "hidden",
    "api_visibility": "private",
}


def build_page(runs: Runs, limits: Limits | None = None) -> gr.Blocks:
    """The page, for `runs`; the second is beside the first where there are two."""
    limits = limits or Limits()
    answers = _Answers(Playground(runs, limits))
    names, has_two = runs.names, len(runs.names) > 1
    with gr.Blocks(title="groundup", analytics_enabled=False, fill_width=True) as page:
        prompt = gr.Textbox(
            label="Prompt",
            placeholder="Type, and see its tokens; with nothing, the model begins by itself",
            lines=2,
            max_lines=8,
            max_length=limits.characters,
            elem_id="prompt",
        )
        with gr.Row(elem_id="actions"):
            write = gr.Button("Write", variant="primary", scale=0, elem_id="write")
            stop = gr.Button("Stop", scale=0, elem_id="stop")
            compare = gr.Checkbox(
                has_two, label="two side by side", container=False, elem_id="compare"
            )
        with gr.Row(equal_height=False):
            left = build_side("left", names, names[0], limits, gr.State(True), visible=True)
            right = build_side("right", names, names[-1], limits, compare, visible=has_two)
        compare.change(_show, compare, right.column, **_AT_ONCE)
        compare.change(answers.look, right.asked(prompt), right.seen, **_AT_ONCE)
        for side in (left, right):
            _connect_looking(page, answers, side, prompt)
            _connect_writing(answers, side, prompt, write)
        stop.click(answers.stop, **_AT_ONCE)
    page.queue(max_size=limits.texts_waiting, default_concurrency_limit=limits.texts_at_once)
    return page


def _connect_looking(page: gr.Blocks, answers: "_Answers", side: Side, prompt: gr.Textbox) -> None:
    asked, seen, run = side.asked(prompt), side.seen, side.run
    gr.on([page.load, run.change], answers.facts, run, side.facts, **_AT_ONCE)
    changes = [run.change, prompt.change, *(knob.change for knob in side.knobs)]
    gr.on([page.load, *changes], answers.look, asked, seen, **_AT_ONCE)
    side.tokens.click(answers.choose, asked, [side.place, *seen], **_AT_ONCE)


def _connect_writing(answers: "_Answers", side: Side, prompt: gr.Textbox, write: gr.Button) -> None:
    write.click(
        answers.write,
        side.asked(prompt),
        [side.text, side.status],
        show_progress="hidden",
        api_visibility="private",
        concurrency_id="texts",  # of both sides: else each would have `texts_at_once`
    )
    side.take.click(_same, side.text, prompt, **_AT_ONCE)


class _Answers:
    """The playground's answers as gradio asks for them: in the order of `Side.asked`."""

    def __init__(self, playground: Playground) -> None:
        self._playground, self._stops = playground, Stops()
        self.facts = playground.facts

    def look(
        self,
        request: gr.Request,
        is_shown: bool,
        prompt: str,
        run: str,
        chosen: tuple[str, int] | None,
        *knobs: Any,
    ) -> tuple[Any, Any]:
        """Looks at the place that was chosen in this prompt; one who types looks at the end."""
        if not is_shown:
            return gr.skip(), gr.skip()
        # A place is of one prompt: else an answer to the last key could undo a click after it.
        place = chosen[1] if chosen is not None and chosen[0] == prompt else None
        try:
            return self._playground.look(_address(request), run, prompt, place, Knobs.read(knobs))
        except Errors as error:
            return error_html(error), ""

    def choose(
        self,
        request: gr.Request,
        event: gr.EventData,
        is_shown: bool,
        prompt: str,
        run: str,
        _: Any,
        *knobs: Any,
    ) -> Any:
        """Looks at the place of the token that was clicked."""
        chosen = prompt, int(event.place)
        return chosen, *self.look(request, is_shown, prompt, run, chosen, *knobs)

    def write(
        self, request: gr.Request, is_shown: bool, prompt: str, run: str, _: Any, *knobs: Any
    ) -> Generator[Any]:
        """Writes a text, and says how that goes."""
        yield gr.skip(), gr.skip()  # a generator that gives nothing is an error to gradio
        if not is_shown:
            return
        try:
            with self._stops.writing(_session(request)) as stop:
                for text, status in self._playground.write(
                    _address(request), run, prompt, Knobs.read(knobs), stop.is_set
                ):
                    yield text, f'<p role="status">{status}</p>'
        except Errors as error:
            yield gr.skip(), error_html(error)

    def stop(self, request: gr.Request) -> None:
        """Ends the visitor's texts."""
        self._stops.stop(_session(request))


def _same(text: str) -> str:
    return text


def _show(is_shown: bool) -> Any:
    return gr.update(visible=is_shown)


def _address(request: gr.Request) -> str:
    return request.client.host if request.client else ""


def _session(request: gr.Request) -> str:
    return request.session_hash or ""
