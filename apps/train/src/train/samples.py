"""What a run's model writes while it learns."""

from pathlib import Path

from nnparts import TransformerLM
from sample import write
from tok import Tokenizer
from trainkit import Metrics, StepLines

_MAX_NEW_TOKENS = 64  # a second or less of a small model: it is written once an evaluation


class SampleLogger:
    """Lets the model write a text after each evaluation: `{"step": 500, "text": "..."}`, a line.

    The lines go to `samples.jsonl` in the run's directory. All texts begin from nothing, with the
    same draws, so what changes between them is the model; training draws nothing of it. When a run
    is resumed or rolled back, what it wrote at steps that come again is dropped.

    Args:
        directory: The run's.
        model: The one that learns; its mode is put back.
        tokenizer: The run's.
    """

    def __init__(self, directory: Path, model: TransformerLM, tokenizer: Tokenizer) -> None:
        self._lines = StepLines(directory / "samples.jsonl")
        self._model, self._tokenizer = model, tokenizer

    def log(self, step: int, metrics: Metrics) -> None:
        """Writes a line where `metrics` are those of an evaluation."""
        line = None
        if "valid_loss" in metrics:
            [text] = write(self._model, self._tokenizer, "", max_new_tokens=_MAX_NEW_TOKENS)
            line = {"text": text}
        self._lines.log(step, line)

    def close(self) -> None:
        """Closes the file."""
        self._lines.close()
