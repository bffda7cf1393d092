"""What a sweep runs: the points of a grid, or of a list, at one or several seeds."""

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from train.sweep.fields import field_name, flags, flatten, run_config

_KEYS = {"preset", "seeds", "fixed", "vary", "points"}
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    name: str
    """Of its directory, under the sweep's."""
    preset: str
    """Where its fields start from."""
    values: Values
    """Fields that are set, by `train`'s flags."""

    def command(self, directory: Path) -> list[str]:
        """What begins the run: words after `train`."""
        return ["--preset", self.preset, *flags(self.values), "--out", str(directory)]


@dataclass(frozen=True)
class Plan:
    """What varies in a sweep, and what does not.

    The points are those of `points`, each with every combination of `vary`, each at all `seeds`.
    What a point sets stands over `fixed`, which stands over the preset.

    Raises:
        ValueError: a field that a run does not have, one that is set twice, or an axis without
            values.
    """

    preset: str = "stories"
    fixed: Values = field(default_factory=dict)
    """Fields that are the same in all points."""
    vary: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Values of each field that varies."""
    points: Sequence[Values] = ()
    """Fields of each point of a list, and its `name`."""
    seeds: Sequence[int] = ()
    """Seeds of each point; the preset's where there are none."""

    def expand(self) -> list[Point]:
        """The points, in the order that they run in; all of them can be run.

        Raises:
            ValueError: two points have one name, or one is no run that `train` could begin.
        """
        points = [
            self._point(listed, combination)
            for listed in self.points or [{}]
            for combination in _combinations(self._axes())
        ]
        names = [point.name for point in points]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two points are called {', '.join(twice)}; give them other names")
        for point in points:
            run_config(point.preset, point.values, Path(point.name))
        return points

    def _axes(self) -> dict[str, Sequence[Any]]:
        axes = {field_name(name): values for name, values in self.vary.items()}
        if self.seeds:
            axes["seed"] = self.seeds
        for name, values in axes.items():
            if not isinstance(values, list | tuple) or not values:
                raise ValueError(f"vary: {name} needs a list of values, got {values!r}")
        return axes

    def _point(self, listed: Values, combination: Values) -> Point:
        own = dict(listed)
        name = own.pop("name", None)
        values = flatten(own)
        if both := sorted(values.keys() & combination.keys()):
            raise ValueError(f"{', '.join(both)} is both in a point and in vary; leave one out")
        words = [name] if name else _words(values)
        return Point(
            name="_".join([*words, *_words(combination)]) or "run",
            preset=self.preset,
            values={**flatten(self.fixed), **values, **combination},
        )


def read_plan(path: Path) -> Plan:
    """Reads a sweep's TOML file.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no TOML, or has other keys than a `Plan`.
    """
    try:
        keys = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    if unknown := sorted(keys.keys() - _KEYS):
        raise ValueError(f"{path} has {', '.join(unknown)}; a sweep has {', '.join(sorted(_KEYS))}")
    fields: dict[str, Any] = {**keys, "vary": flatten(keys.get("vary", {}))}
    return Plan(**fields)


def read_value(text: str) -> Any:
    """A value as it is typed: what TOML reads in it, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _combinations(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _words(values: Values) -> list[str]:
    """The parts of a directory's name, `max-lr=0.001`."""
    return [
        f"{name.removeprefix('model.')}={value}".replace("/", "-") for name, value in values.items()
    ]
