"""What came of a run: its loss on the validation text, and how far that is from the source."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from trainkit import Trainer, replace_file

from train.data import RunData


@dataclass(frozen=True)
class RunResult:
    """The last word of a run, kept in its `result.json`."""

    directory: Path
    """The run's."""
    steps: int
    """Updates done."""
    tokens: int
    """Tokens learnt from, each counted as often as it came."""
    valid_tokens: int
    """Tokens of the validation text that were predicted: all but the first."""
    valid_loss: float
    """Nats a token; every token was predicted from at least half a context."""
    valid_bits_per_byte: float | None
    """The same in bits a byte of text."""
    source_entropy: float | None
    """Nats a token that the source itself is surprised by; None where there is no such source."""

    def sentences(self) -> list[str]:
        """The result in words."""
        bits = self.valid_bits_per_byte
        loss = f"validation loss {self.valid_loss:.4f} nats a token"
        lines = [loss if bits is None else f"{loss}, {bits:.4f} bits a byte"]
        entropy = self.source_entropy
        if entropy is not None and bits is not None:
            ratio = entropy / self.valid_loss
            lines += [
                f"the source's entropy is {entropy:.4f} nats a token, {bits * ratio:.4f} bits a"
                " byte: no model gets below it",
                f"the gap is {self.valid_loss - entropy:.4f} nats a token, {bits * (1 - ratio):.4f}"
                f" bits a byte: {1 / ratio - 1:.1%} of the entropy",
            ]
        return lines


def evaluate_run(trainer: Trainer, data: RunData, directory: Path) -> RunResult:
    """Evaluates a run that has ended on the whole of its validation text.

    Windows overlap by half, so that every token (but those at the very start) is predicted from
    at least half a context: a model is not charged for what a window's edge hid from it.
    """
    result = trainer.evaluate(whole=True, stride=max(1, trainer.context_length // 2))
    return RunResult(
        directory=directory,
        steps=trainer.step,
        tokens=trainer.tokens,
        valid_tokens=result.token_count,
        valid_loss=result.loss,
        valid_bits_per_byte=result.bits_per_byte,
        source_entropy=data.entropy,
    )


def write_result(result: RunResult) -> None:
    """Writes `result.json` into the run's directory; null where a loss is not finite."""
    fields = {name: value if _is_json(value) else None for name, value in asdict(result).items()}
    with replace_file(result.directory / "result.json") as file:
        file.write((json.dumps(fields, indent=2, default=str) + "\n").encode())


def _is_json(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
