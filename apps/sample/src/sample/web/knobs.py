"""What is set on the page, as the model's side calls it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from trainkit import Sampling


@dataclass(frozen=True)
class Knobs:
    """How a text is written.

    Attributes:
        sampling: how each token is chosen.
        max_new_tokens: at most so many.
        stop: texts that end it.
        seed: of the draws.
    """

    sampling: Sampling
    max_new_tokens: int
    stop: tuple[str, ...]
    seed: int

    @classmethod
    def read(cls, values: Sequence[object]) -> Self:
        """Reads the page's values, in the order of `sample --help` but for the prompt.

        On the page "all" is said by what changes nothing: top-p 1, top-k 0, min-p 0.

        Args:
            values: max new tokens, temperature, top-p, top-k, min-p, repetition penalty, stop,
                seed.

        Raises:
            ValueError: A field is empty or out of range.
        """
        max_new_tokens, temperature, top_p, top_k, min_p, penalty, stop, seed = values
        sampling = Sampling(
            temperature=_number("temperature", temperature),
            top_p=None if top_p == 1 else _number("top-p", top_p),
            top_k=int(_number("top-k", top_k)) or None,
            min_p=_number("min-p", min_p) or None,
            repetition_penalty=_number("repetition penalty", penalty),
        )
        count = int(_number("max new tokens", max_new_tokens))
        return cls(sampling, count, read_stop(str(stop)), int(_number("seed", seed)))


def read_stop(text: str) -> tuple[str, ...]:
    r"""The stops that are written one a line, in which `\n` means a line end."""
    return tuple(line.replace("\\n", "\n") for line in text.splitlines() if line)


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"{name} needs a number, got {value!r}")
    return float(value)
