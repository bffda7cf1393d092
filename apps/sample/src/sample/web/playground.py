"""What the page answers: HTML and texts out, and errors as sentences."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from html import escape

from nnparts import TransformerLM

from sample.run import LoadedRun
from sample.web.knobs import Knobs
from sample.web.limits import Limits, RateLimit
from sample.web.next_tokens import next_tokens, next_tokens_html
from sample.web.runs import Runs, of_its_own
from sample.web.tokens import tokens_html
from sample.writing import prompt_ids, write_stream

Errors = (ValueError, OSError, KeyError)
"""What bad input raises: a sentence for the visitor. Anything else is a defect of ours."""

_SECONDS_A_FRAME = 0.05  # a message for each token would take the browser longer than the model


class Playground:
    """The page's answers to one visitor after the other.

    Args:
        runs: those that may be asked for.
        limits: how much may be.
    """

    def __init__(self, runs: Runs, limits: Limits) -> None:
        self.runs, self.limits = runs, limits
        self._looks = RateLimit(limits.looks_per_minute)
        self._texts = RateLimit(limits.texts_per_minute)

    def facts(self, name: str) -> str:
        """What the run is, or why it can't be read."""
        try:
            return f'<p class="facts">{escape(facts(self.runs.load(name)))}</p>'
        except Errors as error:
            return error_html(error)

    def look(
        self, address: str, name: str, prompt: str, place: int | None, knobs: Knobs
    ) -> tuple[str, str]:
        """The prompt's tokens, and what the model expects at one place among them.

        Args:
            address: whose look it is.
            name: of the run.
            prompt: the text, in which nothing is a special token.
            place: number of a token; None for what comes after the last.
            knobs: how a token would be chosen.

        Raises:
            ValueError: A limit is exceeded, or the run can't be read.
            OSError: The same.
        """
        self._looks.admit(address)
        self.limits.check_length(prompt)
        run = self.runs.load(name)
        token_ids = prompt_ids(run.tokenizer, prompt)
        place = len(token_ids) if place is None else max(0, min(place, len(token_ids)))
        actual = token_ids[place] if place < len(token_ids) else None
        shown = tokens_html(run.tokenizer, token_ids, place)
        if place == 0:
            return shown, '<p class="facts">Nothing comes before: nothing is expected here.</p>'
        expected = next_tokens(run.model, token_ids[:place], knobs.sampling, actual=actual)
        return shown, next_tokens_html(run.tokenizer, expected, actual)

    def write(
        self,
        address: str,
        name: str,
        prompt: str,
        knobs: Knobs,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> Generator[tuple[str, str]]:
        """The text as it grows, and how it goes: `(text, sentence)` some times a second.

        Before each token it is asked whether the text `is_stopped`.

        Raises:
            ValueError: A limit is exceeded, a knob is out of range, or the run can't be read.
            OSError: The same.
        """
        self._texts.admit(address)
        self.limits.check_length(prompt)
        if knobs.max_new_tokens > self.limits.new_tokens:
            raise ValueError(f"a text may have {self.limits.new_tokens:,} new tokens here")
        run = self.runs.load(name)
        yield from _frames(of_its_own(run.model), run, prompt, knobs, is_stopped)


def _frames(
    model: TransformerLM,
    run: LoadedRun,
    prompt: str,
    knobs: Knobs,
    is_stopped: Callable[[], bool],
) -> Generator[tuple[str, str]]:
    begun = shown = time.monotonic()
    text, count = "", -1  # the last piece of a text comes without a token
    pieces = write_stream(
        model,
        run.tokenizer,
        prompt,
        knobs.sampling,
        max_new_tokens=knobs.max_new_tokens,
        stop=knobs.stop,
        seed=knobs.seed,
    )
    with closing(pieces):
        for (piece,) in pieces:
            text, count, now = text + piece, count + 1, time.monotonic()
            if is_stopped():
                yield text, f"{count + 1} tokens, stopped"
                return
            if now - shown > _SECONDS_A_FRAME:
                shown = now
                yield text, f"{count + 1} tokens \u2026"
    speed = count / (time.monotonic() - begun)
    yield text, f"{count} tokens, {speed:,.0f} a second"


def facts(run: LoadedRun) -> str:
    """A line about the run."""
    parameters = sum(parameter.numel() for parameter in run.model.parameters())
    return (
        f"step {run.step:,} \u00b7 {parameters:,} parameters \u00b7"
        f" {run.tokenizer.vocab_size:,} tokens \u00b7 context {run.model.config.context_length:,}"
    )


def error_html(error: Exception) -> str:
    """The error's sentence, as the page shows it."""
    return f'<p class="error" role="alert">{escape(error_text(error))}</p>'


def error_text(error: Exception) -> str:
    """The error's sentence; `str` of a KeyError would put it in quotes."""
    return str(error.args[0] if isinstance(error, KeyError) and error.args else error)
