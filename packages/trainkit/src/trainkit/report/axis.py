"""An axis: the range it shows, where a value lies on it, and which values are worth a label."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_MAX_TICKS = 6


@dataclass(frozen=True)
class Axis:
    """A range of values, `low < high`; on a logarithmic axis both are positive."""

    low: float
    high: float
    is_log: bool = False

    @classmethod
    def around(
        cls, values: Iterable[float], *, is_log: bool = False, from_zero: bool = False
    ) -> "Axis":
        """The axis that shows all of `values`, with some room where they do not vary.

        Args:
            values: finite; none at all give the axis from 0 to 1.
            is_log: whether it is asked to be logarithmic; values that are not all positive make
                it linear.
            from_zero: whether it begins at 0.
        """
        values = list(values) or [0.0, 1.0]
        low, high = min(values), max(values)
        if from_zero:
            low = min(low, 0.0)
        is_log = is_log and low > 0
        if high - low <= 1e-9 * abs(high):
            margin = abs(high) / 10 or 1.0
            low, high = low - margin, high + margin
        return cls(low, high, is_log)

    def scaled(self, value: float) -> float:
        """`value`, or its decimal logarithm on a logarithmic axis: what is drawn in proportion."""
        return math.log10(value) if self.is_log else value

    def position(self, value: float) -> float:
        """Where `value` lies, from 0 at `low` to 1 at `high`."""
        low, high = self.scaled(self.low), self.scaled(self.high)
        return (self.scaled(value) - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values on the axis, rising: 1, 2 or 5 times a power of ten apart.

        A logarithmic axis has these numbers themselves, where enough of them lie on it.
        """
        if self.is_log:
            ticks = _decades(self.low, self.high)
            if len(ticks) >= 3:
                return ticks
        return _round_steps(self.low, self.high)


def _round_steps(low: float, high: float) -> list[float]:
    smallest = (high - low) / _MAX_TICKS
    magnitude = 10.0 ** math.floor(math.log10(smallest))
    step = next(m * magnitude for m in (1, 2, 5, 10, 20) if m * magnitude >= smallest)
    first, last = math.ceil(low / step), math.floor(high / step)
    # Rounded: 3 * 0.1 is 0.30000000000000004, which no label should say.
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(number * step, digits) for number in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    """The values m * 10^k, with as many of m = 1, 2, 5 as there is room for."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**power for power in powers for m in mantissas]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= _MAX_TICKS:
            break
    return ticks[:: math.ceil(len(ticks) / _MAX_TICKS)] if ticks else []


def short_number(value: float) -> str:
    """A number in a few characters: 1234 is "1,234", 45,000 is "45k", 0.00030 is "0.0003"."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.4g}{unit}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
