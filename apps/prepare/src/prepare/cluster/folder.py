"""A directory anywhere fsspec reaches, in which a file is there whole or not at all."""

from __future__ import annotations

import glob
import json
import os
import re
import secrets
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem


def file_system(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a path or URL, and what that is called there.

    Raises:
        ValueError: there is no such kind of place, or what reaches it is not installed.
    """
    try:
        system, name = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"{url} can't be reached: {error}. For s3:// there is the extra s3, pip install"
            " 'prepare-app[s3]'"
        ) from error
    return cast(fsspec.AbstractFileSystem, system), cast(str, name)


def find_files(name: str) -> list[str]:
    """The files that a path or URL stands for: itself, those in a directory, those of a pattern.

    Of a directory (`hf://datasets/OWNER/NAME`) and all below it, those whose names end as text's
    do; of a pattern (`data/*.parquet`), each that fits. They come in the order of their names.

    Raises:
        FileNotFoundError: there is none.
        ValueError: as `file_system`.
    """
    system, place = file_system(name)
    if system.exists(place) and not system.isdir(place):
        return [name]
    if glob.has_magic(place):
        found = [path for path in map(str, system.glob(place)) if not system.isdir(path)]
    else:
        found = [path for path in map(str, system.find(place)) if _READ.search(path.lower())]
    if not found:
        raise FileNotFoundError(f"no file {name}")
    return [str(system.unstrip_protocol(path)) if "://" in name else path for path in sorted(found)]


_READ = re.compile(r"\.(txt|jsonl|ndjson|parquet|warc|wet)(\.gz|\.zst)?$")


class Folder:
    """A directory by path or URL (`s3://bucket/run`).

    Args:
        url: where it is; a local one need not exist yet.

    Raises:
        ValueError: as `file_system`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._system, root = file_system(url)
        self._root = root.rstrip("/")

    def path(self, name: str) -> str:
        """Where the file `name` is, in words of its file system."""
        return f"{self._root}/{name}"

    def exists(self, name: str) -> bool:
        """Whether there is a file `name`. Asked anew each time: others write here, too."""
        self._system.invalidate_cache()
        return bool(self._system.exists(self.path(name)))

    def names(self, directory: str) -> set[str]:
        """The names of all in `directory`; none where it is not there."""
        self._system.invalidate_cache()
        try:
            paths = self._system.ls(self.path(directory), detail=False)
        except FileNotFoundError:
            return set()
        return {str(path).rsplit("/", 1)[-1] for path in paths}

    def fetch(self, name: str, target: Path) -> Path:
        """Copies the file `name` to `target`; returns `target`.

        Raises:
            FileNotFoundError: there is none.
        """
        self._system.get_file(self.path(name), str(target))
        return target

    def local_copy(self, name: str, scratch: Path) -> Path:
        """The file `name`, where it is if that is a local disk, else as a copy in `scratch`.

        Raises:
            FileNotFoundError: there is none.
        """
        if isinstance(self._system, LocalFileSystem):
            return Path(self.path(name))
        return self.fetch(name, scratch / name.replace("/", "-"))

    @contextmanager
    def making(self, name: str, scratch: Path) -> Generator[Path, None, None]:
        """Where to make the file `name`, with its sidecar if it is a token file.

        On a local disk that is its place, and who makes it must do so whole or not at all, as
        bpe-rs and tok do; elsewhere it is a file in `scratch`, which is put there at the end.
        """
        if isinstance(self._system, LocalFileSystem):
            path = Path(self.path(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
            return
        path = scratch / name.rsplit("/", 1)[-1]
        yield path
        for made in (path, path.with_suffix(".json")) if path.suffix == ".npy" else (path,):
            self.publish(made, name[: len(name) - len(path.name)] + made.name)

    def publish(self, source: Path, name: str) -> None:
        """Puts a copy of `source` at `name`, in the place of what is there, whole or not at all."""
        if isinstance(self._system, LocalFileSystem):
            _replace(Path(self.path(name)), source)
        else:  # an object store shows an object when its upload is complete
            self._system.put_file(str(source), self.path(name))

    def read_json(self, name: str) -> dict[str, Any]:
        """Reads what `write_json` wrote.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return json.loads(self._system.cat_file(self.path(name)))

    def write_json(self, name: str, content: Mapping[str, Any], scratch: Path) -> None:
        """Publishes `content`, by way of a file in `scratch`."""
        source = scratch / secrets.token_hex(8)
        source.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        self.publish(source, name)
        source.unlink()

    def remove(self, name: str) -> None:
        """Removes the file `name`, if it is there."""
        if self.exists(name):
            self._system.rm_file(self.path(name))

    def remove_temporary(self, directory: str) -> None:
        """Removes what killed processes had begun to write in `directory`."""
        for name in self.names(directory):
            if _TEMPORARY.fullmatch(name):
                self.remove(f"{directory}/{name}")


# Ours and tok's; bpe-rs'.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp|\.pretoken-counts-\d+-\d+\.tmp")


def _replace(target: Path, source: Path) -> None:
    """Copies beside, forces to the disk, renames."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with source.open("rb") as reader, beside.open("xb") as writer:
            shutil.copyfileobj(reader, writer, 2**20)
            writer.flush()
            os.fsync(writer.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
