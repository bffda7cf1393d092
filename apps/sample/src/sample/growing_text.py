"""A text as its tokens come: whole characters, and nothing that is taken back later."""

from collections.abc import Sequence

from tok import Tokenizer


class GrowingText:
    r"""A prompt and what the model goes on with, up to what ends it.

    Line ends before the first and after the last other character are left out, so they are held
    back until more comes; so is what may be the beginning of a stop.

    Args:
        tokenizer: of the model.
        prompt: what the text begins with; nothing in it ends the text.
        end_token: ends the text; None: no token does.
        stop: texts that end it before their first character.

    Raises:
        ValueError: a stop is empty.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: str,
        *,
        end_token: int | None = None,
        stop: Sequence[str] = (),
    ) -> None:
        if not all(stop):
            raise ValueError(f"a stop needs at least one character, got {list(stop)}")
        self.text = prompt.lstrip("\n")
        self.has_ended = False
        self._prompt_length, self._shown = len(self.text), 0
        self._decoder = tokenizer.decoding()
        self._end_token, self._stop = end_token, stop

    def feed(self, token_id: int) -> str:
        """What the next token adds for certain; nothing once the text has ended."""
        if self.has_ended:
            return ""
        if token_id == self._end_token:
            return self.finish()
        self._append(self._decoder.feed((token_id,)))
        return self._show(len(self.text) - self._held())

    def finish(self) -> str:
        """What was held back: nothing more will come."""
        if not self.has_ended:
            self._append(self._decoder.finish())
            self.has_ended = True
        self.text = self.text.rstrip("\n")
        return self._show(len(self.text))

    def _append(self, text: str) -> None:
        self.text += text if self.text else text.lstrip("\n")
        found = [self.text.find(stop, self._prompt_length) for stop in self._stop]
        begins = [begin for begin in found if begin >= 0]
        if begins:
            self.text = self.text[: min(begins)].rstrip("\n")
            self.has_ended = True

    def _held(self) -> int:
        """How many of the last characters may be the beginning of a stop."""
        new = self.text[self._prompt_length :]
        return max(
            (n for stop in self._stop for n in range(1, len(stop)) if new.endswith(stop[:n])),
            default=0,
        )

    def _show(self, end: int) -> str:
        shown = self.text[self._shown : end].rstrip("\n")
        self._shown += len(shown)
        return shown
