"""Writing. Table: whatever goes wrong, the old files stay and no temporary one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tok.atomic import replacing


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_half(file, error):
    file.write(b"new")
    raise error


def test_files_are_replaced_together(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with replacing(tmp_path / "a", tmp_path / "b") as (first, second):
        first.write(b"1")
        second.write(b"2")
        assert (tmp_path / "a").read_bytes() == b"old"
    assert files(tmp_path) == {"a": b"1", "b": b"2"}


def test_a_new_file_never_stands_beside_an_old_one(tmp_path, monkeypatch):
    names = ["a", "b", "c"]
    for name in names:
        (tmp_path / name).write_bytes(b"old")
    seen, replace = [], Path.replace

    def watched(source, target):
        replace(source, target)
        seen.append({name: content for name, content in files(tmp_path).items() if name in names})

    monkeypatch.setattr(Path, "replace", watched)
    with replacing(*(tmp_path / name for name in names)) as opened:
        for file in opened:
            file.write(b"new")
    assert seen == [dict.fromkeys(names[:n], b"new") for n in (1, 2, 3)]


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_any_error_leaves_the_old_files(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error), replacing(tmp_path / "a", tmp_path / "b") as (first, _):
        write_half(first, error)
    assert files(tmp_path) == {"a": b"old"}


def test_a_full_disk_at_the_last_moment_leaves_the_old_files(old_file, full_disk):
    with (
        pytest.raises(OSError, match="No space left"),
        replacing(old_file, old_file.with_suffix(".json")) as (first, _),
    ):
        first.write(b"new")
    assert files(old_file.parent) == {"out.npy": b"old"}


def test_a_directory_that_is_missing_is_named(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"create it first.*none"),
        replacing(tmp_path / "none" / "a"),
    ):
        raise AssertionError("nothing to write to")


def test_a_directory_is_no_file_to_replace(tmp_path):
    (tmp_path / "b").mkdir()
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "a", tmp_path / "b"):
        raise AssertionError("nothing to write to")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_one_path_can_not_hold_two_files(tmp_path):
    with (
        pytest.raises(ValueError, match="a path of its own"),
        replacing(tmp_path / "a", tmp_path / "." / "a"),
    ):
        raise AssertionError("one of them would be lost")


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    with replacing(tmp_path / "link") as (file,):
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert files(tmp_path / "real") == {"a": b"new"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes of files")
def test_others_may_read_what_the_umask_lets_them(tmp_path):
    with replacing(tmp_path / "a") as (file,):
        file.write(b"new")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.skipif(sys.platform == "win32", reason="Windows can't limit a file's size")
def test_a_write_that_the_system_cuts_short_leaves_the_old_file(old_file):
    code = (
        "import resource, signal, sys, pathlib\n"
        "from tok.atomic import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_bytes((pathlib.Path(sys.argv[1]), bytes(5000)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(old_file)], capture_output=True)
    assert b"File too large" in run.stderr
    assert files(old_file.parent) == {"out.npy": b"old"}
