"""Counts that bring their formula along, and the tree that they are printed as.

A formula is a product: whole numbers and names set beside each other, "2 batch seq d_model d_ff".
People read it, and `evaluate` turns it into the number, so the two can't disagree.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nnparts.config import TransformerConfig

Sizes = Mapping[str, int]

_NAMES = (
    "vocab_size",
    "context_length",
    "d_model",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "d_ff",
)


def sizes(
    config: TransformerConfig, batch_size: int = 1, context_length: int | None = None
) -> Sizes:
    """What the names in a formula stand for.

    Args:
        config: gives its whole numbers, by their field's name.
        batch_size: sequences, "batch" in a formula.
        context_length: tokens in each, "seq" in a formula; the config's own if None.

    Raises:
        ValueError: no sequence, no token, or more tokens than the model has positions for.
    """
    seq = config.context_length if context_length is None else context_length
    if batch_size < 1 or seq < 1:
        raise ValueError(
            f"at least one token is needed, got {batch_size=} and context_length={seq}"
        )
    if seq > config.context_length:
        raise ValueError(
            f"the model has {config.context_length} positions, got sequences of {seq}:"
            f" dataclasses.replace(config, context_length={seq}) makes it a model that has"
        )
    return {name: getattr(config, name) for name in _NAMES} | {"batch": batch_size, "seq": seq}


def evaluate(formula: str, sizes: Sizes) -> int:
    """The product of a formula's factors; "2 batch seq" is 2 * sizes["batch"] * sizes["seq"].

    Raises:
        KeyError: a name that `sizes` doesn't hold.
    """
    return math.prod(
        int(factor) if factor.isdigit() else sizes[factor] for factor in formula.split()
    )


@dataclass(frozen=True)
class Count:
    """How many, of what, and why.

    Attributes:
        name: dotted, as in a state dict; "layers.*" stands for every layer.
        formula: the product that it is.
        total: what the formula comes to, over all layers.
    """

    name: str
    formula: str
    total: int


@dataclass(frozen=True)
class Counts:
    """Counts of one thing, and their sum.

    Attributes:
        unit: what is counted: "parameters", "bytes".
        counts: the parts of the sum.
    """

    unit: str
    counts: tuple[Count, ...]

    @classmethod
    def of(cls, unit: str, formulas: Iterable[tuple[str, str]], sizes: Sizes) -> "Counts":
        """Evaluate pairs of a name and a formula."""
        return cls(unit, tuple(Count(n, f, evaluate(f, sizes)) for n, f in formulas))

    def __iter__(self) -> Iterator[Count]:
        return iter(self.counts)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def total(self) -> int:
        """The sum."""
        return sum(count.total for count in self.counts)

    def __getitem__(self, name: str) -> int:
        """The sum of a module, "layers.*.attn", or of a single count, by its name.

        Raises:
            KeyError: there is nothing of that name.
        """
        named = [c.total for c in self.counts if f"{c.name}.".startswith(f"{name}.")]
        if not named:
            names = [count.name for count in self.counts]
            raise KeyError(f"nothing is counted under {name!r}; there are {names}")
        return sum(named)

    def tree(self) -> str:
        """A line for every count and every module that holds several: number, share, formula."""
        lines = [(0, self.unit, self.total, ""), *_lines(self.counts, shown=0, depth=1)]
        names = [f"{'  ' * depth}{name}" for depth, name, _, _ in lines]
        width, digits = max(map(len, names)), len(f"{self.total:,}")
        return "\n".join(
            f"{name:<{width}}  {total:>{digits},}  {total / self.total:6.1%}  {formula}".rstrip()
            for name, (_, _, total, formula) in zip(names, lines, strict=True)
        )


def _lines(
    counts: tuple[Count, ...], *, shown: int, depth: int
) -> Iterator[tuple[int, str, int, str]]:
    """Depth, name, sum and formula of each line; the first `shown` parts of names stand above."""
    for _, group in itertools.groupby(counts, lambda count: count.name.split(".")[shown]):
        inside = tuple(group)
        # One line as far as all go together: "layers.*", or the whole name of a single weight.
        paths = zip(*(count.name.split(".")[shown:] for count in inside), strict=False)
        shared = [parts[0] for parts in itertools.takewhile(lambda p: len(set(p)) == 1, paths)]
        formula = inside[0].formula if len(inside) == 1 else ""
        yield depth, ".".join(shared), sum(count.total for count in inside), formula
        if len(inside) > 1:
            yield from _lines(inside, shown=shown + len(shared), depth=depth + 1)
