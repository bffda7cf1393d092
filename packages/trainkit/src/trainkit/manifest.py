"""What tells a whole checkpoint from a damaged one: the size and hash of each of its files."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
_KIND = "groundup-manifest"
_VERSION = 1


class DamagedCheckpointError(ValueError):
    """A file of a checkpoint is missing or not what was written; the message names it."""


@dataclass(frozen=True)
class FileDigest:
    """What is known of a file's content."""

    byte_count: int
    """Its size."""
    sha256: str
    """Its hash, hexadecimal."""

    @classmethod
    def of(cls, data: bytes) -> "FileDigest":
        """The digest of `data`."""
        return cls(len(data), hashlib.sha256(data).hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> "FileDigest":
        """The digest of the file at `path`."""
        with path.open("rb") as file:
            return cls(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def manifest_bytes(digests: dict[str, FileDigest]) -> bytes:
    """The content of the manifest of files with these names."""
    files = {name: vars(digest) for name, digest in sorted(digests.items())}
    content = {"format": _KIND, "version": _VERSION, "files": files}
    return (json.dumps(content, indent=2) + "\n").encode()


def verify_directory(directory: Path) -> None:
    """Compare the files in `directory` with its manifest; without one, only ask for none missing.

    Raises:
        DamagedCheckpointError: a file is missing, of another size, or of another hash.
    """
    for name, digest in _read_manifest(directory / MANIFEST).items():
        path = directory / name
        if not path.is_file():
            raise DamagedCheckpointError(f"{path} is missing; take another checkpoint")
        if (size := path.stat().st_size) != (expected := digest.byte_count):
            raise DamagedCheckpointError(
                f"{path} should have {expected} bytes, it has {size}; take another checkpoint"
            )
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest.sha256:
            raise DamagedCheckpointError(
                f"{path} should have the SHA-256 {digest.sha256[:12]}..., it has {found[:12]}...:"
                " its content was changed; take another checkpoint"
            )


def _read_manifest(path: Path) -> dict[str, FileDigest]:
    """The digests by name; none where there is no manifest, as before version 0.2."""
    if not path.is_file():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        if (content["format"], content["version"]) != (_KIND, _VERSION):
            raise ValueError(f"it is a {content['format']} of version {content['version']}")
        return {name: FileDigest(**digest) for name, digest in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpointError(
            f"{path} is not a manifest of version {_VERSION} ({error}); take another checkpoint"
        ) from error
