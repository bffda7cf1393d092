"""A run's place on the disk: where a new one goes, and what an old one was told."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from prepare.presets import build_config
from sample import newest_run
from trainkit import replace_file

from train.config import RunConfig

# What may differ when a run is resumed: where it is, and what only watches it.
_NOT_OF_THE_RUN = {
    "out": None,
    "resume": False,
    "allow": (),
    "fall_back": False,
    "wandb": False,
    "tensorboard": False,
    "csv": False,
}


def new_directory(config: RunConfig, parent: Path = Path("runs")) -> Path:
    """Where a run that begins now goes: `config.out`, or the first free name under `parent`.

    Raises:
        ValueError: `config.out` holds a run already.
    """
    if config.out is None:
        names = (config.preset, *(f"{config.preset}-{number}" for number in range(2, 100_000)))
        return next(parent / name for name in names if not (parent / name).exists())
    if (config.out / "config.json").exists():
        raise ValueError(
            f"{config.out} holds a run already: go on with it by --resume, or name another --out"
        )
    return config.out


def old_directory(out: Path | None) -> Path:
    """The run to go on with: `out`, or the newest.

    Raises:
        FileNotFoundError: It is not there, or holds no run.
    """
    directory = out or newest_run()
    if not (directory / "config.json").is_file():
        raise FileNotFoundError(f"no run to resume in {directory}: it has no config.json")
    return directory


def write_record(directory: Path, record: dict[str, Any]) -> None:
    """Writes `config.json`, the record of what a run is."""
    with replace_file(directory / "config.json") as file:
        file.write((json.dumps(record, indent=2) + "\n").encode())


def read_record(directory: Path) -> dict[str, Any]:
    """Reads `config.json`.

    Raises:
        ValueError: It is damaged, or no record of a run.
    """
    path = directory / "config.json"
    try:
        record = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(record, dict) or record.get("format") != "groundup-run":
        raise ValueError(f"{path} is no record of a run that `train` wrote")
    return record


def asked(config: RunConfig) -> dict[str, Any]:
    """What a run was asked to be, as JSON has it."""
    fields = asdict(replace(config, **_NOT_OF_THE_RUN))
    del fields["model"]["vocab_size"]  # never asked for
    return {**fields, "data": str(config.data_directory)}


def read_asked(directory: Path) -> RunConfig:
    """What the run in `directory` was asked to be."""
    fields = dict(read_record(directory)["asked"])
    fields["data"] = Path(fields["data"])
    return build_config(RunConfig, fields, where=str(directory / "config.json"))


def leaves(fields: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Names and values of all fields, those of the model as `model.NAME`."""
    pairs: list[tuple[str, Any]] = []
    for name, value in fields.items():
        if name in ("model", "training"):
            pairs += leaves(value, "model." if name == "model" else "")
        else:
            pairs.append((prefix + name, value))
    return pairs
