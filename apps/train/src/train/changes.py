"""What a run is told anew when it is resumed: what differs, whether it may, and that it did."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainkit import Execution, TrainConfig, groups_alike

from train.config import RunConfig
from train.directories import asked, leaves, read_asked, read_record, write_record

_ALL = "all"
# What no --allow accepts, and why. A table of the config stands for every field in it.
_NEVER = {
    "model": "the weights have the shape that they were made in",
    "optimizer": "the state that was saved is the other one's",
    "batch_size": "which batches come, and how many tokens were learnt, is counted by it",
    "minutes": "the number of updates was found by it, and is what --max-steps changes",
    "preset": "it only gives a new run its defaults",
}
# Nor these, where one parts what had one learning rate, or joins what had several.
_GROUPING = ("outer_lr_scale", "embedding_lr_scale")
_REGROUPED = (
    "the optimizer's state was saved by groups that share a learning rate, and these are others"
)


@dataclass(frozen=True)
class Change:
    """One field that a resumed run has another value of than before."""

    field: str
    """Its name, as in `RunConfig`; after a dot, one of its model."""
    before: Any
    """What the run had."""
    now: Any
    """What it is to have."""
    obstacle: str | None = None
    """Why it can never change; None where --allow accepts it."""

    @property
    def flag(self) -> str:
        """The field's name as it is typed."""
        return self.field.replace("_", "-")

    def __str__(self) -> str:
        words = f"{self.field} was {self.before}, now {self.now}"
        return words if self.obstacle is None else f"{words} (never: {self.obstacle})"


def read_changes(config: RunConfig, directory: Path) -> list[Change]:
    """The fields in which `config` differs from what the run in `directory` was asked to be.

    Raises:
        ValueError: One that can't change, or that `config.allow` does not name; all are listed.
    """
    old = read_asked(directory)
    now, before = (dict(leaves(asked(each))) for each in (config, old))
    allowed = _allowed(config.allow, list(now))
    changes = [
        Change(name, before[name], now[name], _obstacle(name, old.training, config.training))
        for name in now
        if now[name] != before[name]
    ]
    refused = [each for each in changes if each.obstacle or each.field not in allowed]
    if refused:
        raise ValueError(
            f"a resumed run stays what it was, but {'; '.join(map(str, refused))}."
            f" {_way_out(changes)}"
        )
    return changes


def record_changes(
    directory: Path, config: RunConfig, changes: Sequence[Change], execution: Execution, step: int
) -> None:
    """Writes into `config.json` what the run is from `step` on, and what it was before."""
    entry = {
        "step": step,
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "fields": {each.field: {"before": each.before, "now": each.now} for each in changes},
    }
    record = read_record(directory)
    record |= {"asked": asked(config), "execution": vars(execution)}
    write_record(directory, {**record, "changes": [*record.get("changes", []), entry]})


def _obstacle(field: str, before: TrainConfig, now: TrainConfig) -> str | None:
    if field in _GROUPING and not groups_alike(before, now):
        return _REGROUPED
    return _NEVER.get(field.partition(".")[0])


def _way_out(changes: Sequence[Change]) -> str:
    acceptable = " ".join(each.flag for each in changes if each.obstacle is None)
    accept = f", accept what may change by --allow {acceptable}" if acceptable else ""
    return f"Leave these flags out{accept}, or begin a new run with another --out"


def _allowed(typed: Sequence[str], known: Sequence[str]) -> set[str]:
    """The fields that were typed after --allow, by the names they have in `RunConfig`."""
    names = {name.removeprefix("--").replace("-", "_") for name in typed}
    if _ALL in names:
        return set(known)
    if unknown := sorted(names - set(known)):
        raise ValueError(
            f"--allow takes names of fields as they are typed, such as max-lr, or all; there is no"
            f" {', '.join(unknown)}"
        )
    return names
