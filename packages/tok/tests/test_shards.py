"""Shards. Properties: together one token file; killed anywhere and resumed, the same bytes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tok import Tokenizer
from tok.shards import encode_files

END = "<|endoftext|>"
SHARD_TOKENS = 40_000


@pytest.fixture(scope="module")
def tokenizer(small) -> Tokenizer:
    return small


@pytest.fixture
def inputs(tmp_path, corpus):
    """Several blocks of text, and rows."""
    text, rows = tmp_path / "text.txt", tmp_path / "rows.jsonl"
    text.write_bytes(corpus.encode() * 220)
    line = json.dumps({"text": "The old king had 3 sons, 王様は三人の息子"}) + "\n"
    rows.write_text(line * 2000)
    return [text, rows]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def whole(tokenizer, inputs, folder):
    """The bytes of an undisturbed run, and its infos."""
    folder.mkdir()
    infos = tokenizer.encode_files(inputs, folder / "a.npy", shard_tokens=SHARD_TOKENS)
    return files(folder), infos


def test_shards_are_the_token_file_in_pieces_of_equal_length(tokenizer, inputs, tmp_path):
    one = tokenizer.encode_file(inputs, tmp_path / "one.npy")
    _, infos = whole(tokenizer, inputs, tmp_path / "out")
    shards = [np.load(tmp_path / "out" / f"a-{n:05}.npy") for n in range(len(infos))]
    assert len(shards) > 5
    assert np.array_equal(np.concatenate(shards), np.load(tmp_path / "one.npy"))
    assert {len(shard) for shard in shards[:-1]} == {SHARD_TOKENS}
    for name in ("token_count", "byte_count", "document_count"):
        assert sum(getattr(info, name) for info in infos) == getattr(one, name)
    for ids, info in zip(shards, infos, strict=True):
        separators = np.count_nonzero(ids == tokenizer.special_tokens[END])
        assert (info.token_count, info.document_count) == (len(ids), separators)
    assert [info.shard["is_last"] for info in infos] == [False] * (len(infos) - 1) + [True]
    said = [json.loads((tmp_path / "out" / f"a-{n:05}.json").read_text()) for n in range(2)]
    assert [content["format"] for content in said] == ["groundup-tokens"] * 2


def test_each_shard_counts_the_bytes_of_its_own_ids(tokenizer, inputs, tmp_path):
    _, infos = whole(tokenizer, inputs[:1], tmp_path / "out")
    for number, info in enumerate(infos):
        ids = np.load(tmp_path / "out" / f"a-{number:05}.npy")
        assert info.byte_count == len(tokenizer.decode_bytes(ids))


def test_a_run_that_is_complete_is_not_done_again(tokenizer, inputs, tmp_path):
    before, infos = whole(tokenizer, inputs, tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = tokenizer.encode_files(inputs, tmp_path / "out" / "a.npy", shard_tokens=SHARD_TOKENS)
    assert again == infos
    assert files(tmp_path / "out") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


KILLED = """
import os, sys
from tok import Tokenizer
sizes = []
def progress(done):
    sizes.append(done)
    if len(sizes) > int(sys.argv[3]):
        os._exit(9)
tokenizer = Tokenizer.load(sys.argv[1])
tokenizer.encode_files(sys.argv[4:], sys.argv[2], shard_tokens=40_000, progress=progress)
"""


@pytest.mark.parametrize("blocks", [0, 1, 3, 4])
def test_a_killed_run_goes_on_and_ends_as_if_undisturbed(tokenizer, inputs, tmp_path, blocks):
    tokenizer.save(tmp_path / "tokenizer.json")
    expected, infos = whole(tokenizer, inputs, tmp_path / "whole")
    folder = tmp_path / "out"
    folder.mkdir()
    arguments = [tmp_path / "tokenizer.json", folder / "a.npy", blocks, *inputs]
    run = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)])
    assert run.returncode == 9
    left = {name for name in files(folder) if not name.startswith(".")}
    assert left < expected.keys()
    seen = []
    output = folder / "a.npy"
    resumed = encode_files(
        tokenizer, inputs, output, shard_tokens=SHARD_TOKENS, num_threads=3, progress=seen.append
    )
    assert resumed == infos
    assert files(folder) == expected
    assert seen[-1] == sum(info.byte_count for info in infos)


@pytest.mark.parametrize("kept", [1, 4, 8])
def test_a_run_goes_on_after_any_shard(tokenizer, inputs, tmp_path, kept):
    expected, infos = whole(tokenizer, inputs, tmp_path / "out")
    assert len(infos) > 8
    for number in range(kept, len(infos)):
        (tmp_path / "out" / f"a-{number:05}.json").unlink()
        if number > kept:  # one killed between the two renames leaves its array
            (tmp_path / "out" / f"a-{number:05}.npy").unlink()
    tokenizer.encode_files(inputs, tmp_path / "out" / "a.npy", shard_tokens=SHARD_TOKENS)
    assert files(tmp_path / "out") == expected


def other_tokenizer(tokenizer, inputs, options):
    return Tokenizer(tokenizer.vocab, tokenizer.merges[:-1], [END]), inputs, options


def other_size(tokenizer, inputs, options):
    return tokenizer, inputs, options | {"shard_tokens": SHARD_TOKENS + 1}


def changed_file(tokenizer, inputs, options):
    os.utime(inputs[0], ns=(1, 1))
    return tokenizer, inputs, options


def fewer_files(tokenizer, inputs, options):
    return tokenizer, inputs[:1], options


def other_extra(tokenizer, inputs, options):
    return tokenizer, inputs, options | {"extra": {"a": 1}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_tokenizer, "its tokenizer_hash is"),
        (other_size, "its shard_tokens is 40000, not 40001"),
        (changed_file, "its inputs is"),
        (fewer_files, "its inputs is"),
        (other_extra, "its extra is"),
    ],
)
def test_shards_of_another_run_are_refused_or_made_anew(
    tokenizer, inputs, tmp_path, change, reason
):
    before, _ = whole(tokenizer, inputs, tmp_path / "out")
    changed, paths, options = change(tokenizer, inputs, {"shard_tokens": SHARD_TOKENS})
    output = tmp_path / "out" / "a.npy"
    with pytest.raises(ValueError, match=f"a-00000.json is of another run: {reason}.*overwrite"):
        changed.encode_files(paths, output, **options)
    assert files(tmp_path / "out") == before
    infos = changed.encode_files(paths, output, **options, overwrite=True)
    assert len(files(tmp_path / "out")) == 2 * len(infos)
    (tmp_path / "new").mkdir()
    changed.encode_files(paths, tmp_path / "new" / "a.npy", **options)
    assert files(tmp_path / "out") == files(tmp_path / "new")


def test_a_gap_or_a_shard_cut_short_is_refused(tokenizer, inputs, tmp_path):
    whole(tokenizer, inputs, tmp_path / "out")
    output = tmp_path / "out" / "a.npy"
    array = tmp_path / "out" / "a-00001.npy"
    array.write_bytes(array.read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"a-00001\.npy must hold 40000 ids .* 79998 bytes"):
        tokenizer.encode_files(inputs, output, shard_tokens=SHARD_TOKENS)
    array.unlink()
    array.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"a-00001\.npy is not there .* but a-00002\.json is"):
        tokenizer.encode_files(inputs, output, shard_tokens=SHARD_TOKENS)


def test_the_files_of_others_stay(tokenizer, inputs, tmp_path):
    (tmp_path / "out").mkdir()
    others = ["a.npy", "b-00000.npy", "a-1.npy", "a-00000.txt", ".a-00000.npy.old"]
    for name in others:
        (tmp_path / "out" / name).write_text("mine")
    options = {"shard_tokens": SHARD_TOKENS, "overwrite": True}
    tokenizer.encode_files(inputs, tmp_path / "out" / "a.npy", **options)
    assert all((tmp_path / "out" / name).read_text() == "mine" for name in others)


def test_what_can_not_be_sharded_is_refused(tokenizer, inputs, tmp_path):
    output = tmp_path / "a.npy"
    with pytest.raises(ValueError, match="shard_tokens must be at least 1, got 0"):
        tokenizer.encode_files(inputs, output, shard_tokens=0)
    with pytest.raises(FileNotFoundError, match="none"):
        tokenizer.encode_files(tmp_path / "none.txt", output, shard_tokens=10)
    with pytest.raises(ValueError, match="no regular file"):
        tokenizer.encode_files("/dev/null", output, shard_tokens=10)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match="no text to encode"):
        tokenizer.encode_files(tmp_path / "empty.txt", output, shard_tokens=10)
    assert not list(tmp_path.glob("*a-*"))


def test_a_full_disk_leaves_the_shards_that_are_complete(tokenizer, inputs, tmp_path, monkeypatch):
    expected, _ = whole(tokenizer, inputs, tmp_path / "whole")
    (tmp_path / "out").mkdir()
    calls, fsync = [], os.fsync

    def full_at_the_second_shard(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_the_second_shard)
    with pytest.raises(OSError, match="No space left"):
        tokenizer.encode_files(inputs, tmp_path / "out" / "a.npy", shard_tokens=SHARD_TOKENS)
    assert files(tmp_path / "out").keys() == {"a-00000.npy", "a-00000.json"}
    tokenizer.encode_files(inputs, tmp_path / "out" / "a.npy", shard_tokens=SHARD_TOKENS)
    assert files(tmp_path / "out") == expected
