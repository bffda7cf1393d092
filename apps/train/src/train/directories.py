"""A run's place on the disk: where a new one goes, and what an old one was told."""

import json
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from prepare.presets import build_config
from sample import newest_run
from trainkit import RunLock, replace_file

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


@contextmanager
def claimed_directory(config: RunConfig, parent: Path = Path("runs")) -> Generator[Path]:
    """The directory of `config`'s run, which no other process has until the block ends.

    That of the run to go on with; or of one that begins now: `config.out`, or the first free name
    under `parent`. It is claimed before anything is written: measuring can take minutes, and the
    record of a run that began meanwhile in the same place was once replaced by that of another,
    which was then refused. Where nothing is written in it, nothing is left of it.

    Raises:
        ValueError: `config.out` holds a run already.
        FileNotFoundError: The run to go on with is not there.
        BlockingIOError: Another process trains in it.
    """
    with ExitStack() as at_end:
        if config.resume:
            directory = at_end.enter_context(RunLock(old_directory(config.out))).directory
        elif config.out is None:
            directory = _claim_first_free(config.preset, parent, at_end)
        else:
            directory = at_end.enter_context(_held(config.out))
            if has_begun(directory):
                raise ValueError(
                    f"{directory} holds a run already: go on with it by --resume, or name another"
                    " --out"
                )
        yield directory


def _claim_first_free(preset: str, parent: Path, at_end: ExitStack) -> Path:
    """Claims it until `at_end` closes."""
    for name in (preset, *(f"{preset}-{number}" for number in range(2, 100_000))):
        if not _is_free(parent / name):
            continue
        with ExitStack() as attempt, suppress(BlockingIOError):  # another run has begun to measure
            directory = attempt.enter_context(_held(parent / name))
            if _is_free(directory):  # still: a run may have come and gone
                at_end.enter_context(attempt.pop_all())
                return directory
    raise ValueError(f"no free name for a run under {parent}: name one by --out")


@contextmanager
def _held(directory: Path) -> Generator[Path]:
    """`directory`, locked; where it stays empty it goes again, with those made above it."""
    made = [each for each in (directory, *directory.parents) if not each.exists()]
    with RunLock(directory) as lock:
        try:
            yield directory
        finally:
            if made and _is_free(directory):
                with suppress(OSError):  # another run has moved in beside it
                    lock.path.unlink()
                    for each in made:
                        each.rmdir()


def _is_free(directory: Path) -> bool:
    """Whether a run may begin there: at most a lock is left of one that never began."""
    if not directory.is_dir():
        return not directory.exists()
    return {path.name for path in directory.iterdir()} <= {RunLock(directory).path.name}


def has_begun(directory: Path) -> bool:
    """Whether there is a run to go on with."""
    return (directory / "config.json").is_file()


def old_directory(out: Path | None) -> Path:
    """The run to go on with: `out`, or the newest.

    Raises:
        FileNotFoundError: It is not there, or holds no run.
    """
    directory = out or newest_run()
    if not has_begun(directory):
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
