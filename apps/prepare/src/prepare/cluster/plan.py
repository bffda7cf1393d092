"""The plan of a run: what is to be made of which bytes, written down before the first task."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import fsspec

from prepare.cluster.cut import Share, Span, TextFile, cut, is_gzip
from prepare.cluster.folder import Folder, file_system

PLAN = "cluster/plan.json"
FORMAT, VERSION = "groundup-prepare-plan", 2
FAN_IN = 32
"""Files of counts that one task merges: a thousand are one after two stages."""

VERSIONS = ("ETag", "mtime", "LastModified", "blob_id")
"""What file systems call that which changes when a file is written again: S3, disks, others, the
Hugging Face Hub."""

BadDocuments = Literal["fail", "skip"]


@dataclass(frozen=True)
class Settings:
    """All that the result depends on besides the text; runs of one directory agree in it."""

    vocab_size: int
    special_tokens: tuple[str, ...]
    tasks: int
    bad_documents: BadDocuments
    max_document_bytes: int
    sources: Mapping[str, Any]
    """Where the text is from, as it was asked for."""
    min_count: int = 1
    """A pretoken that occurs less often has no part in learning."""

    @property
    def content(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return json.loads(json.dumps(asdict(self)))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all of it."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Stage:
    """Tasks that may run at the same time; they read what those of the stage before wrote."""

    name: str
    tasks: int
    bytes: int
    """Of text that all its tasks read together."""


@dataclass(frozen=True)
class Plan:
    """What each task of each stage works on."""

    settings: Settings
    train: tuple[Share, ...]
    valid: tuple[Share, ...]
    valid_extra: Mapping[str, Any]

    @property
    def stages(self) -> list[Stage]:
        """All stages, in order."""
        train, valid = (
            sum(span.size for share in shares for span in share) for shares in self.parts
        )
        counted = len(self.train)
        stages = [Stage("count", counted, train)]
        while counted > FAN_IN:
            counted = -(-counted // FAN_IN)
            stages.append(Stage(f"merge-{len(stages)}", counted, 0))
        stages.append(Stage("learn", 1, 0))
        stages.append(Stage("encode", len(self.train) + len(self.valid), train + valid))
        return [*stages, Stage("finish", 1, 0)]

    @property
    def parts(self) -> tuple[tuple[Share, ...], tuple[Share, ...]]:
        """The shares of the training and of the validation text."""
        return self.train, self.valid

    def stage_before(self, name: str) -> Stage:
        """The stage whose files the stage `name` reads."""
        names = [stage.name for stage in self.stages]
        return self.stages[names.index(name) - 1]

    def save(self, folder: Folder, scratch: Path) -> None:
        """Writes the plan into the run's folder."""
        content = {"format": FORMAT, "version": VERSION, "fingerprint": self.settings.fingerprint}
        folder.write_json(PLAN, content | asdict(self), scratch)

    @classmethod
    def load(cls, folder: Folder) -> Plan:
        """Reads the plan of a run.

        Raises:
            FileNotFoundError: the folder is of no run.
            ValueError: it is of another version of this program.
        """
        try:
            content = folder.read_json(PLAN)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{folder.url} holds no run: there is no {PLAN} in it"
            ) from None
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise ValueError(
                f"{folder.url}/{PLAN} is of version {content['version']}, needed is {VERSION}:"
                " choose another --out"
            )
        settings = content["settings"]
        settings["special_tokens"] = tuple(settings["special_tokens"])
        return cls(
            settings=Settings(**settings),
            train=_shares(content["train"]),
            valid=_shares(content["valid"]),
            valid_extra=content["valid_extra"],
        )


def _shares(content: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[Share, ...]:
    return tuple(
        tuple(Span(TextFile(**span["file"]), span["start"], span["stop"]) for span in share)
        for share in content
    )


def make_plan(
    settings: Settings,
    train: Sequence[str],
    valid: Sequence[str],
    valid_extra: Mapping[str, Any],
) -> Plan:
    """Looks at the files and cuts them: validation text into shares of the size of the others.

    Raises:
        ValueError: a part has no text.
        FileNotFoundError: a file is not there.
    """
    files = [[describe(path) for path in paths] for paths in (train, valid)]
    sizes = [sum(file.size for file in part) for part in files]
    for size, name, paths in zip(sizes, ("train on", "validate with"), (train, valid), strict=True):
        if not size:
            raise ValueError(f"there is no text to {name} in {', '.join(paths)}: it is empty")
    num_valid = min(settings.tasks, -(-sizes[1] * settings.tasks // sizes[0]))
    shares = [
        tuple(cut(part, count, settings.special_tokens, open_file, settings.max_document_bytes))
        for part, count in zip(files, (settings.tasks, num_valid), strict=True)
    ]
    return Plan(settings, shares[0], shares[1], valid_extra)


def describe(path: str) -> TextFile:
    """What a file is now.

    Raises:
        FileNotFoundError: it is not there.
    """
    system, name = file_system(path)
    try:
        info = cast(dict[str, Any], system.info(name))
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {path}") from None
    version = next((info[key] for key in VERSIONS if info.get(key)), "")
    return TextFile(path, int(info["size"] or 0), str(version))


@contextmanager
def open_file(file: TextFile) -> Generator[BinaryIO, None, None]:
    """Opens a file to be read, unpacked.

    Raises:
        ValueError: it is not what it was when the run was planned, or no whole gzip file.
        FileNotFoundError: it is not there.
    """
    check_unchanged(file)
    opened = fsspec.open(file.path, "rb", compression="gzip" if is_gzip(file.path) else None)
    try:
        with cast(AbstractContextManager[BinaryIO], opened) as reader:
            yield reader
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{file.path}: not a whole gzip file: {error}") from error


def check_unchanged(file: TextFile) -> None:
    """Refuses a file that is not what it was when the run was planned.

    Raises:
        ValueError: it is another one now; the way out is another run.
        FileNotFoundError: it is not there.
    """
    if describe(file.path) != file:
        raise ValueError(
            f"{file.path} has changed since the run was planned, and what is done of it no longer"
            " fits: choose another --out, or put the file back"
        )
