"""`prepare.cluster`: parity with one process, properties of cuts and copies, tables of refusals.

Tasks are run here one after the other in this process; `test_cluster_engines.py` has the engines.
"""

import gzip
import hashlib
import io
import itertools
import json
import os
import random
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import s3fs
from bpe_rs import PretokenCounts
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from prepare import PrepareConfig, prepare
from prepare.cluster import child, documents, plan, run, stages, warc
from prepare.cluster import cut as cutting
from prepare.cluster import text as reading
from prepare.cluster.folder import Folder, find_files
from prepare.cluster.status import read_status
from prepare.config import ClusterConfig
from tok import Tokenizer
from trainkit import TokenDataset

END = "<|endoftext|>"


def made_up_documents(seed: int, count: int) -> list[str]:
    """Documents of few words, so that merges are learned, and of very different length."""
    draw = random.Random(seed)
    words = ["owl", " night", "\n\n", " Öl", " 夜", " 2026", "'s", "  ", " the", " they're"]
    return ["".join(draw.choices(words, k=draw.choice([1, 5, 60]))) for _ in range(count)]


def write_text(path: Path, texts: list[str], separator: str = f"\n{END}\n") -> Path:
    path.write_bytes("".join(text + separator for text in texts).encode())
    return path


def write_rows(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, Path]:
    """Training files of every kind, and one to validate with."""
    folder = tmp_path / "text"
    folder.mkdir()
    rows = write_rows(folder / "rows.jsonl", made_up_documents(1, 150))
    table = pyarrow.table({"text": made_up_documents(2, 50)})
    pyarrow.parquet.write_table(table, folder / "table.parquet")
    packed = folder / "packed.txt.gz"
    packed.write_bytes(
        gzip.compress(write_text(folder / "x", made_up_documents(3, 50)).read_bytes())
    )
    (folder / "empty.txt").touch()
    return {
        "a": write_text(folder / "a.txt", made_up_documents(4, 300)),
        "empty": folder / "empty.txt",
        "rows": rows,
        "packed": packed,
        "table": folder / "table.parquet",
        "b": write_text(folder / "b.txt", made_up_documents(5, 200)),
        "valid": write_text(folder / "valid.txt", made_up_documents(6, 30)),
    }


def config_of(corpus: dict[str, Path], out: Path, **cluster: object) -> PrepareConfig:
    *train, valid = map(str, corpus.values())
    fields = {"executor": "local", "tasks": 3} | cluster
    return PrepareConfig(
        input=tuple(train),
        valid=valid,
        vocab_size=320,
        out=out,
        cluster=ClusterConfig(**fields),
    )


def one_process(corpus: dict[str, Path], out: Path) -> Path:
    return prepare(config_of(corpus, out, executor=None))


def plan_of(config: PrepareConfig) -> plan.Plan:
    return run.find_or_make_plan(config, Folder(str(config.directory)))


def run_all(config: PrepareConfig, *, backwards: bool = False) -> Path:
    """Does every task, and those of a stage in either order."""
    for stage in plan_of(config).stages:
        for rank in sorted(range(stage.tasks), reverse=backwards):
            run_stage(config, stage.name, rank)
    return config.directory


def run_stage(config: PrepareConfig, stage: str, rank: int, **limits: int) -> None:
    stages.run_task(str(config.directory), stage, rank, stages.Limits(**limits))


def ids_of(directory: Path, part: str) -> np.ndarray:
    paths = sorted(directory.glob(f"{part}-*.npy")) or [directory / f"{part}.npy"]
    return np.concatenate([np.load(path) for path in paths])


def assert_same_result(ours: Path, theirs: Path) -> None:
    names = "tokenizer.json"
    assert (ours / names).read_bytes() == (theirs / names).read_bytes()
    for part in ("train", "valid"):
        np.testing.assert_array_equal(ids_of(ours, part), ids_of(theirs, part))
        assert ids_of(ours, part).dtype == ids_of(theirs, part).dtype


def files_of(directory: Path) -> dict[str, bytes]:
    """What the run gives: all files but those in which it keeps times."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


# The result


@pytest.mark.parametrize("tasks", [1, 3, 8])
def test_any_number_of_tasks_gives_the_bytes_of_one_process(corpus, tmp_path, tasks):
    ours = run_all(config_of(corpus, tmp_path / "ours", tasks=tasks))
    assert_same_result(ours, one_process(corpus, tmp_path / "theirs"))
    assert len(list(ours.glob("train-*.npy"))) == {1: 1, 3: 3, 8: 8}[tasks]


def test_the_order_of_tasks_threads_and_spilling_change_no_byte(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    ours = files_of(run_all(config))
    other = config_of(corpus, tmp_path / "other")
    for stage in plan_of(other).stages:
        for rank in reversed(range(stage.tasks)):
            run_stage(other, stage.name, rank, threads=2, max_memory_bytes=4096)
    assert files_of(other.directory) == ours


@pytest.mark.parametrize("tasks", [5, 8])
def test_counts_merged_as_a_tree_are_the_counts(corpus, tmp_path, monkeypatch, tasks):
    monkeypatch.setattr(plan, "FAN_IN", 2)
    monkeypatch.setattr(stages, "FAN_IN", 2)
    config = config_of(corpus, tmp_path / "ours", tasks=tasks)
    names = [stage.name for stage in plan_of(config).stages]
    assert names == ["count", "merge-1", "merge-2", "learn", "encode", "finish"]
    assert_same_result(run_all(config), one_process(corpus, tmp_path / "theirs"))


def test_the_manifest_tells_of_all_token_files_in_order(corpus, tmp_path):
    ours = run_all(config_of(corpus, tmp_path / "ours"))
    manifest = json.loads((ours / "manifest.json").read_text())
    theirs = one_process(corpus, tmp_path / "theirs")
    for part in ("train", "valid"):
        sidecar = json.loads((theirs / f"{part}.json").read_text())
        for count in ("token_count", "byte_count", "document_count"):
            assert manifest[part][count] == sidecar[count]
        names = [shard["name"] for shard in manifest[part]["shards"]]
        assert names == sorted(path.name for path in ours.glob(f"{part}-*.npy"))
        for shard in manifest[part]["shards"]:
            content = (ours / shard["name"]).read_bytes()
            assert shard["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["tokenizer_hash"] == Tokenizer.load(ours / "tokenizer.json").fingerprint


def test_training_reads_the_shards_as_one(corpus, tmp_path):
    ours = run_all(config_of(corpus, tmp_path / "ours", tasks=8))
    theirs = one_process(corpus, tmp_path / "theirs")
    dataset, one = (TokenDataset(directory / "train.npy") for directory in (ours, theirs))
    assert len(dataset) == len(one)
    starts = np.arange(0, len(one) - 64, 61)
    np.testing.assert_array_equal(dataset.windows(starts, 64), one.windows(starts, 64))


def test_special_tokens_that_could_overlap_are_not_cut_at(tmp_path):
    texts = write_text(tmp_path / "a.txt", made_up_documents(1, 300), "<e><e>x")
    valid = write_text(tmp_path / "v.txt", made_up_documents(2, 30), "<e>")
    config = replace(
        config_of({"a": texts, "valid": valid}, tmp_path / "ours", tasks=8),
        special_tokens=("<e>", "<e>x"),
    )
    run_all(config)
    assert len(list(config.directory.glob("train-*.npy"))) == 1
    theirs = prepare(replace(config, out=tmp_path / "theirs", cluster=ClusterConfig()))
    assert_same_result(config.directory, theirs)


# Failing, and going on


def test_a_task_that_fails_leaves_nothing_half_written_and_is_done_again(
    corpus, tmp_path, monkeypatch
):
    config = config_of(corpus, tmp_path / "ours")
    undisturbed = files_of(run_all(config_of(corpus, tmp_path / "undisturbed")))
    fsync, calls, failures = os.fsync, itertools.count(), 0

    def full_at_times(descriptor: int) -> None:
        if next(calls) % 5 == 0:  # a task syncs four times at most
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_times)
    while not (config.directory / "manifest.json").exists():
        try:
            run_all(config)
        except OSError:
            failures += 1
            assert not list(config.directory.rglob("*.tmp"))
    assert failures > 5
    assert files_of(config.directory) == undisturbed


def test_a_finished_task_is_not_done_again(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    run_all(config)
    before = {path: path.stat().st_mtime_ns for path in config.directory.rglob("*")}
    run_all(config)
    assert {path: path.stat().st_mtime_ns for path in config.directory.rglob("*")} == before


def test_a_stage_refuses_to_begin_before_the_one_it_reads_is_done(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    plan_of(config)
    run_stage(config, "count", 1)
    with pytest.raises(ValueError, match=r"2 of 3 tasks of the stage count are not done.*task 0"):
        run_stage(config, "learn", 0)


def test_token_files_of_two_tokenizers_are_refused(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    run_all(config)
    (config.directory / "cluster/finish/00000.json").unlink()
    record = config.directory / "cluster/encode/00001.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"tokenizer_hash": "other"}))
    with pytest.raises(ValueError, match=r"train-00001.npy was made by another tokenizer"):
        run_stage(config, "finish", 0)
    other = one_process(corpus, tmp_path / "theirs")
    text = (other / "tokenizer.json").read_text().replace(END, "<|other|>")
    (config.directory / "tokenizer.json").write_text(text)
    record.unlink()
    with pytest.raises(ValueError, match="is not the one that this run learned"):
        run_stage(config, "encode", 1)


# Bad documents

BAD = b"bad \xff document\n<|endoftext|>\n"


@pytest.fixture
def spoiled(corpus) -> dict[str, Path]:
    """The text corpus with two bad documents in `a.txt` and a bad line in `rows.jsonl`."""
    a, rows = corpus["a"].read_bytes(), corpus["rows"].read_bytes()
    border = a.index(b"<|endoftext|>", len(a) // 2) + len("<|endoftext|>\n")
    corpus["a"].write_bytes(BAD + a[:border] + BAD + a[border:])
    corpus["rows"].write_bytes(rows + b'{"text": 7}\n')
    return corpus


def test_bad_documents_are_left_out_and_named(corpus, spoiled, tmp_path):
    config = config_of(spoiled, tmp_path / "ours", bad_documents="skip")
    run_all(config)
    manifest = json.loads((config.directory / "manifest.json").read_text())
    found = [(Path(bad["file"]).name, bad["reason"]) for bad in manifest["bad_documents"]]
    utf8 = "is not UTF-8 at its byte"
    assert [name for name, _ in found] == ["a.txt", "a.txt", "rows.jsonl"]
    assert utf8 in found[0][1]
    assert "no JSON object" in found[2][1]
    assert manifest["bad_documents"][0]["byte"] == 0
    lines = read_status(str(config.directory)).lines()
    assert sum(line.startswith("left out") for line in lines) == 3
    # A document ends with the separator: the line end after it is the next one's.
    a = spoiled["a"].read_bytes()
    bad = BAD.removesuffix(b"\n")
    spoiled["a"].write_bytes(a.replace(b"\n" + bad, b"").replace(bad, b""))
    lines = spoiled["rows"].read_bytes().splitlines(keepends=True)
    spoiled["rows"].write_bytes(b"".join(lines[:-1]))
    assert_same_result(config.directory, one_process(spoiled, tmp_path / "theirs"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"a\.txt: the document of 28 bytes at byte 0 is not UTF-8 at its byte 4"),
        (
            {"max_document_bytes": 20},
            r"a\.txt: the document of 28 bytes at byte 0 is longer than 20",
        ),
    ],
)
def test_a_bad_document_is_an_error_if_nothing_else_was_asked_for(
    corpus, spoiled, tmp_path, changes, message
):
    config = config_of(spoiled, tmp_path / "ours", **changes)
    plan_of(config)
    with pytest.raises(ValueError, match=message):
        run_stage(config, "count", 0)
    assert not list((config.directory / "cluster").rglob("*.counts"))


def test_a_share_of_bad_documents_alone_is_a_token_file_without_ids(corpus, tmp_path):
    files = {"b": corpus["b"], "bad": tmp_path / "bad.txt", "valid": corpus["valid"]}
    bad = BAD * (corpus["b"].stat().st_size // len(BAD))
    files["bad"].write_bytes(bad.removesuffix(b"\n"))
    config = config_of(files, tmp_path / "ours", tasks=4, bad_documents="skip")
    run_all(config)
    counts = [len(np.load(path)) for path in sorted(config.directory.glob("train-*.npy"))]
    assert counts[-1] == 0
    assert counts[0] > 0
    assert len(TokenDataset(config.directory / "train.npy")) == sum(counts)


def test_what_bpe_rs_refuses_is_told_by_the_name_of_the_source(corpus, tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"body": ["x"]}), corpus["table"])
    config = config_of(corpus, tmp_path / "ours", tasks=1)
    plan_of(config)
    with pytest.raises(ValueError, match=str(corpus["table"])):
        run_stage(config, "count", 0)


def test_a_gzip_file_cut_short_is_refused(corpus, tmp_path):
    corpus["packed"].write_bytes(corpus["packed"].read_bytes()[:-20])
    config = config_of(corpus, tmp_path / "ours", tasks=1, bad_documents="skip")
    plan_of(config)
    with pytest.raises(ValueError, match=r"packed\.txt\.gz: not a whole gzip file"):
        run_stage(config, "count", 0)


LINES = {
    b'{"text": "a"}': True,
    b"  \t\r": True,
    b'{"text": "a"}\r': True,
    b'{"text": ""}': True,
    b'{"text": "\\ud83d\\ude00", "more": [1e5, null]}': True,
    b'{"text": "\\ud800"}': False,
    b'{"text": NaN}': False,
    b'{"text": "a", "more": NaN}': False,
    b"[1]": False,
    b'"text"': False,
    b'{"text": null}': False,
    b'{"body": "a"}': False,
    b'{"text": "a\xff"}': False,
    b'{"text": "a"': False,
    b'{"text": "a"} x': False,
    b"\x0c": False,
}


@pytest.mark.parametrize(("line", "is_good"), LINES.items())
def test_a_row_is_good_if_bpe_rs_takes_it(tmp_path, line, is_good):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line + b"\n")
    try:
        PretokenCounts.count(path)
    except ValueError:
        assert not is_good
    else:
        assert is_good
    assert (documents.row_problem(line + b"\n") is None) == is_good


texts = st.lists(st.sampled_from([b"a", b"\xff", b"ab", b"<", b"<e", b"<e>", b"\xc3\xb6"])).map(
    b"".join
)


@given(texts, st.integers(1, 12), st.integers(1, 9))
def test_copies_are_of_the_good_documents_in_order(text, limit, block_bytes):
    ends = text.split(b"<e>")
    naive = [part + b"<e>" for part in ends[:-1]] + [part for part in ends[-1:] if part]
    target = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "BLOCK_BYTES", block_bytes)
        bad = list(
            documents.copy_documents(
                io.BytesIO(text),
                target,
                end=b"<e>",
                problem=documents.text_problem,
                max_document_bytes=limit,
                file="f",
                start=1000,
            )
        )

    def is_good(document: bytes) -> bool:
        return len(document) <= limit and documents.text_problem(document) is None

    assert target.getvalue() == b"".join(filter(is_good, naive))
    starts = np.cumsum([1000, *map(len, naive)]).tolist()
    expected = [(at, len(d)) for at, d in zip(starts, naive, strict=False) if not is_good(d)]
    assert [(document.byte, document.size) for document in bad] == expected


def naive_has_long(text: bytes, end: bytes, limit: int) -> bool:
    return any(len(part) + len(end) > limit for part in text.split(end)[:-1]) or (
        len(text.split(end)[-1]) > limit
    )


@given(text=texts, start=st.integers(0, 9), limit=st.integers(1, 12), window=st.integers(1, 9))
def test_a_document_too_long_is_seen_from_jumps(tmp_path_factory, text, start, limit, window):
    path = tmp_path_factory.getbasetemp() / "jumps.txt"
    path.write_bytes(b"x" * start + text + b"<e>")
    span = cutting.Span(cutting.TextFile(str(path), 0, ""), start, start + len(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "WINDOW_BYTES", window)
        found = reading.has_long_document(path, span, b"<e>", limit)
    assert found == naive_has_long(text, b"<e>", limit)


GOOD, UNKNOWN = b"good <|endoftext|>", b"<|endoftext|>"


@given(
    st.lists(st.sampled_from([GOOD, UNKNOWN, b"\xff<|endoftext|>", b"long " * 9 + UNKNOWN])),
    st.booleans(),
)
def test_what_is_read_in_place_are_the_good_documents(tmp_path_factory, documents, is_told):
    folder = tmp_path_factory.getbasetemp()
    path = folder / "in-place.txt"
    path.write_bytes(b"before<|endoftext|>" + b"".join(documents) + b"behind")
    start = len(b"before<|endoftext|>")
    stop = start + sum(map(len, documents))
    settings = plan.Settings(300, (END,), 1, "skip", 30, {})
    span = cutting.Span(plan.describe(str(path)), start, stop)
    text = reading.ShareText((span,), settings, folder / "never made")
    seen: list[bytes] = []

    def work(sources: reading.Sources) -> bytes:
        data = path.read_bytes()
        assert set(sources.paths) <= {path}
        seen.append(b"".join(data[start:stop] for start, stop in filter(None, sources.spans)))
        seen[-1].decode()  # as bpe-rs, the work refuses what is not UTF-8
        return seen[-1]

    made, bad = text.read(work)
    is_good = [b"\xff" not in document and len(document) <= 30 for document in documents]
    assert made == b"".join(itertools.compress(documents, is_good))
    starts = np.cumsum([start, *map(len, documents)]).tolist()
    expected = [at for at, good in zip(starts, is_good, strict=False) if not good]
    assert [document.byte for document in bad] == expected
    if is_told:
        seen.clear()
        assert text.read(work, bad) == (made, bad)
        assert len(seen) == 1


def test_text_on_this_machine_is_not_copied(corpus, tmp_path, monkeypatch):
    del corpus["packed"]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a document was looked at one by one")

    monkeypatch.setattr(reading, "copy_documents", refuse)
    ours = run_all(config_of(corpus, tmp_path / "ours", tasks=8))
    assert_same_result(ours, one_process(corpus, tmp_path / "theirs"))


def test_text_that_changes_while_it_is_read_is_refused(corpus, tmp_path):
    span = cutting.Span(plan.describe(str(corpus["a"])), 0, 100)
    settings = plan.Settings(300, (END,), 1, "skip", 10_000, {})

    def work(_: reading.Sources) -> None:
        corpus["a"].write_bytes(b"other text of another size")

    with pytest.raises(ValueError, match=r"a\.txt has changed since the run was planned"):
        reading.ShareText((span,), settings, tmp_path).read(work)


# Learning without what is rare


def test_rare_pretokens_are_left_out_as_one_process_leaves_them_out(corpus, tmp_path):
    config = replace(config_of(corpus, tmp_path / "ours"), min_count=40)
    run_all(config)
    theirs = prepare(replace(config, out=tmp_path / "theirs", cluster=ClusterConfig()))
    assert_same_result(config.directory, theirs)
    exact = run_all(config_of(corpus, tmp_path / "exact"))
    assert files_of(exact)["tokenizer.json"] != files_of(theirs)["tokenizer.json"]


# A process for the tasks of a stage


def test_a_process_does_the_tasks_of_a_stage_and_another_one_those_behind_its_end(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours", tasks=6)
    plan_of(config)
    url = str(config.directory)

    def process_of(rank: int) -> int:
        assert child.run_child(url, "count", rank, stages.Limits()) is None
        record = json.loads((config.directory / stages.record_name("count", rank)).read_text())
        return record["process"]

    try:
        first = process_of(0)
        assert os.getpid() != first == process_of(1)
        assert child.run_child(url, "learn", 0, stages.Limits()) == (
            "4 of 6 tasks of the stage count are not done, the first is task 2: run the same"
            f" command again, --status {url} says why"
        )
        second = process_of(2)  # that of the other stage has taken the place of the first
        assert second != first == process_of_nobody(first)
        os.kill(second, signal.SIGKILL)
        os.waitid(os.P_PID, second, os.WEXITED | os.WNOWAIT)
        assert process_of(3) not in (first, second)
    finally:
        child.end_child()
    assert not list(tmp_path.glob("prepare-*"))


def process_of_nobody(process: int) -> int:
    """The number of a process that is no longer there."""
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    return process


# Cuts


@given(st.lists(texts, min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 9))
def test_shares_are_all_bytes_in_order_and_begin_behind_documents(contents, tasks, block_bytes):
    names = [f"{number}.txt" for number in range(len(contents))]
    files = [cutting.TextFile(n, len(c), "") for n, c in zip(names, contents, strict=True)]
    content = dict(zip(names, contents, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "BLOCK_BYTES", block_bytes)
        shares = cutting.cut(
            files, tasks, ["<e>", "<pad>"], lambda file: io.BytesIO(content[file.path]), 10
        )
    spans = [span for share in shares for span in share]
    assert b"".join(content[s.file.path][s.start : s.stop] for s in spans) == b"".join(contents)
    assert len(shares) <= tasks
    assert all(shares)
    for share in shares:
        first = share[0]
        assert first.start == 0 or content[first.file.path][: first.start].endswith(b"<e>")


def test_a_single_large_file_is_cut_into_equal_shares():
    text = b"x" * 96 + b"<e>\n"
    content = text * 1000
    file = cutting.TextFile("a.txt", len(content), "")
    shares = cutting.cut([file], 8, ["<e>"], lambda _: io.BytesIO(content), 1000)
    sizes = [sum(span.size for span in share) for share in shares]
    assert len(sizes) == 8
    assert max(sizes) - min(sizes) <= 2 * len(text)


@pytest.mark.parametrize(
    ("path", "special_tokens", "end"),
    [
        ("a.txt", ["<e>", "<pad>"], b"<e>"),
        ("a.txt.gz", ["<e>"], b"<e>"),
        ("a.jsonl", ["<e>"], b"\n"),
        ("a.ndjson.gz", [], b"\n"),
        ("a.parquet", ["<e>"], None),
        ("a.jsonl.zst", ["<e>"], None),
        ("a.txt", [], None),
        ("a.txt", ["<e>", "<e>x"], None),
        ("a.txt", ["<e>", "x<e>"], None),
        ("a.txt", ["<e>", ">x"], None),
        ("a.txt", ["<e>", "x<"], None),
        ("a.txt", ["abab"], None),
    ],
)
def test_documents_end_where_no_other_reading_is_possible(path, special_tokens, end):
    assert cutting.document_end(path, special_tokens) == end


# Refusals before anything is done


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 330}, "its vocab_size is 320, asked for is 330"),
        ({"special_tokens": ("<|end|>",)}, "its special_tokens is"),
        ({"tasks": 4}, "its tasks is 3, asked for is 4"),
        ({"bad_documents": "skip"}, "its bad_documents is 'fail'"),
    ],
)
def test_a_directory_of_another_run_is_refused(corpus, tmp_path, changes, message):
    config = config_of(corpus, tmp_path / "ours")
    plan_of(config)
    cluster = {k: v for k, v in changes.items() if hasattr(config.cluster, k)}
    rest = {k: v for k, v in changes.items() if k not in cluster}
    other = replace(config, cluster=replace(config.cluster, **cluster), **rest)
    with pytest.raises(ValueError, match=message):
        plan_of(other)


def test_text_that_has_changed_is_refused(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    plan_of(config)
    corpus["b"].write_bytes(corpus["b"].read_bytes() + b"more")
    with pytest.raises(ValueError, match=r"b\.txt has changed since the run was planned"):
        plan_of(config)
    with pytest.raises(ValueError, match=r"b\.txt has changed since the run was planned"):
        run_stage(config, "count", 2)


def test_a_directory_with_token_files_of_one_process_is_refused(corpus, tmp_path):
    out = one_process(corpus, tmp_path / "ours")
    with pytest.raises(ValueError, match=r"holds tokenizer\.json, which no run with --executor"):
        plan_of(config_of(corpus, out))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 200}, "need 257"),
        ({"min_count": 0}, "--min-count must be at least 1, got 0"),
        ({"tasks": 0}, "--tasks must be at least 1, got 0"),
        ({"workers": 0}, "--workers must be at least 1, got 0"),
        ({"special_tokens": ("<a>", "<a>")}, "<a>"),
        ({"valid": None}, "--valid FILE"),
    ],
)
def test_what_would_fail_late_is_refused_early(corpus, tmp_path, changes, message):
    config = config_of(corpus, tmp_path / "ours")
    cluster = {k: v for k, v in changes.items() if hasattr(config.cluster, k)}
    rest = {k: v for k, v in changes.items() if k not in cluster}
    with pytest.raises(ValueError, match=message):
        plan_of(replace(config, cluster=replace(config.cluster, **cluster), **rest))
    assert not (config.directory / "cluster").exists()


def test_a_directory_without_a_run_has_no_status(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        read_status(str(tmp_path))


def test_status_tells_the_time_left_from_the_rate_so_far(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    made = plan_of(config)
    assert read_status(str(config.directory)).seconds_left is None
    for rank in (0, 1):
        run_stage(config, "count", rank)
        record = config.directory / f"cluster/count/{rank:05}.json"
        content = json.loads(record.read_text()) | {"begun": 100.0, "ended": 110.0}
        record.write_text(json.dumps(content))
    status = read_status(str(config.directory))
    sizes = [sum(span.size for span in share) for share in made.train]
    valid = sum(span.size for share in made.valid for span in share)
    rate = sum(sizes[:2]) / 10
    assert status.seconds_left == pytest.approx((sizes[2] + sum(sizes) + valid) / rate)
    assert "count       2 of 3 tasks done" in status.lines()


@pytest.mark.parametrize(
    ("module", "executor", "extra"),
    [("datatrove", "local", "cluster"), ("fsspec", "local", "cluster"), ("ray", "ray", "ray")],
)
def test_an_engine_that_is_not_installed_is_told_with_its_extra(
    corpus, tmp_path, module, executor, extra
):
    script = tmp_path / "without.py"
    script.write_text(
        f"import sys; sys.modules[{module!r}] = None; from prepare.__main__ import main; main()"
    )
    flags = ["--input", corpus["a"], "--valid", corpus["valid"], "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, script, *flags, "--executor", executor], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"need {module}" in done.stderr
    assert f"pip install 'prepare-app[{extra}]'" in done.stderr
    assert not (tmp_path / "out").exists()


# Elsewhere than on a disk


@pytest.fixture
def bucket(monkeypatch) -> Iterator[str]:
    """A bucket of moto's S3, on loopback."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"corpus-{secrets.token_hex(4)}"  # moto keeps buckets from one server to the next
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_text_and_result_may_be_objects_in_a_bucket(corpus, tmp_path, bucket):
    system = s3fs.S3FileSystem()
    for path in corpus.values():
        system.put_file(str(path), f"{bucket}/text/{path.name}")
    *train, valid = (f"{bucket}/text/{path.name}" for path in corpus.values())
    config = config_of(corpus, tmp_path)
    config = replace(config, input=tuple(train), valid=valid, out=f"{bucket}/run")
    for stage in run.find_or_make_plan(config, Folder(config.url)).stages:
        for rank in range(stage.tasks):
            stages.run_task(config.url, stage.name, rank, stages.Limits())
    assert read_status(config.url).is_done
    system.get(f"{bucket}/run", str(tmp_path / "ours"), recursive=True)
    assert_same_result(tmp_path / "ours", one_process(corpus, tmp_path / "theirs"))
    again = replace(config, vocab_size=300)
    with pytest.raises(ValueError, match="its vocab_size is 320"):
        run.find_or_make_plan(again, Folder(config.url))


def test_an_object_that_is_not_there_is_refused(corpus, tmp_path, bucket):
    config = replace(
        config_of(corpus, tmp_path), input=(f"{bucket}/lost.txt",), out=f"{bucket}/run"
    )
    with pytest.raises(FileNotFoundError, match=r"no file s3://.*/lost\.txt"):
        run.find_or_make_plan(config, Folder(config.url))


def test_directories_and_patterns_stand_for_their_files_in_order(corpus, tmp_path, bucket):
    folder, system = tmp_path / "more", s3fs.S3FileSystem()
    (folder / "below").mkdir(parents=True)
    names = ["b.txt", "a.jsonl", "below/c.txt.gz", "z.parquet", "README.md", "below/d.json"]
    for name in names:
        (folder / name).touch()
        system.pipe_file(f"{bucket}/more/{name}", b"x")
    read = ["a.jsonl", "b.txt", "below/c.txt.gz", "z.parquet"]
    for root in (str(folder), f"{bucket}/more"):
        assert find_files(root) == [f"{root}/{name}" for name in read]
        assert find_files(f"{root}/*.[tm]*") == [f"{root}/README.md", f"{root}/b.txt"]
        assert find_files(f"{root}/below/d.json") == [f"{root}/below/d.json"]
        with pytest.raises(FileNotFoundError, match=r"no file .*/\*\.csv"):
            find_files(f"{root}/*.csv")
    config = config_of(corpus, tmp_path / "ours")
    run_all(replace(config, input=(str(corpus["a"].parent / "[ab].txt"),)))
    theirs = replace(config, input=(str(corpus["a"]), str(corpus["b"])), out=tmp_path / "theirs")
    assert_same_result(config.directory, prepare(replace(theirs, cluster=ClusterConfig())))


class Hub(MemoryFileSystem):
    """What the Hugging Face Hub is to us: no times, but the name of the content."""

    protocol = "hf"
    store: ClassVar[dict[str, Any]] = {}

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        info = super().info(path, **options)
        blob = {"blob_id": hashlib.sha1(self.cat_file(path)).hexdigest()}
        kept = {key: info[key] for key in ("name", "size", "type")}
        return kept | (blob if info["type"] == "file" else {})


def test_a_data_set_of_the_hub_is_its_files(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(_registry, "hf", Hub)
    hub, root = Hub(), "hf://datasets/owner/name"
    del corpus["empty"]
    for name, path in corpus.items():
        folder = "valid" if name == "valid" else "data"
        hub.pipe_file(f"{root}/{folder}/{path.name}", path.read_bytes())
    hub.pipe_file(f"{root}/data/README.md", b"about")
    config = replace(
        config_of(corpus, tmp_path / "ours"), input=(f"{root}/data",), valid=f"{root}/valid"
    )
    run_all(config)
    train = sorted((path for name, path in corpus.items() if name != "valid"), key=lambda p: p.name)
    theirs = dict(enumerate([*train, corpus["valid"]]))
    assert_same_result(config.directory, one_process(theirs, tmp_path / "theirs"))
    hub.pipe_file(f"{root}/data/b.txt", corpus["b"].read_bytes().swapcase())
    with pytest.raises(ValueError, match=r"b\.txt has changed since the run was planned"):
        plan_of(config)


def write_warc(path: Path, records: list[tuple[str, bytes]]) -> Path:
    """A WARC file (ISO 28500), packed record by record if its name says so."""
    about = ("warcinfo", b"software: a test\r\n")
    parts = [
        b"WARC/1.0\r\nWARC-Type: %s\r\nWARC-Record-ID: <urn:test:%d>\r\n"
        b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n"
        % (kind.encode(), number, len(content), content)
        for number, (kind, content) in enumerate([about, *records])
    ]
    path.write_bytes(b"".join(map(gzip.compress, parts) if path.suffix == ".gz" else parts))
    return path


def texts_as_records(texts: list[str]) -> list[tuple[str, bytes]]:
    """A conversion of each, and records without text between."""
    pairs = [(("metadata", b"languages: x"), ("conversion", text.encode())) for text in texts]
    return [record for pair in pairs for record in pair]


@pytest.mark.parametrize("tasks", [1, 3, 8])
def test_the_texts_of_warc_files_are_documents(corpus, tmp_path, tasks):
    texts = [made_up_documents(seed, 40) for seed in range(4)]
    names = ["0.warc.wet.gz", "1.warc", "2.WET.gz", "3.wet"]
    archives = {
        name: write_warc(tmp_path / name, texts_as_records(each))
        for name, each in zip(names, texts, strict=True)
    }
    rows = {
        str(number): write_rows(tmp_path / f"{number}.jsonl", each)
        for number, each in enumerate(texts)
    }
    valid = {"valid": corpus["valid"]}
    ours = run_all(config_of(archives | valid, tmp_path / "ours", tasks=tasks))
    assert_same_result(ours, one_process(rows | valid, tmp_path / "theirs"))
    assert len(list(ours.glob("train-*.npy"))) == min(tasks, 4)


def test_bad_texts_of_warc_files_are_left_out_and_named(corpus, tmp_path):
    texts = made_up_documents(1, 40)
    records = texts_as_records(texts)
    bad = [("conversion", b"not \xff UTF-8"), ("conversion", b"long" * 1000)]
    files = {
        "a": write_warc(tmp_path / "a.wet.gz", [bad[0], *records, bad[1]]),
        "valid": corpus["valid"],
    }
    limits = {"max_document_bytes": 2000, "tasks": 2}
    config = config_of(files, tmp_path / "ours", bad_documents="skip", **limits)
    run_all(config)
    manifest = json.loads((config.directory / "manifest.json").read_text())
    assert [(each["size"], each["reason"]) for each in manifest["bad_documents"]] == [
        (11, "is not UTF-8 at its byte 4: invalid start byte"),
        (4000, "is longer than 2,000 bytes (--max-document-bytes)"),
    ]
    with gzip.open(files["a"]) as file:
        content = file.read()
    places = [each["byte"] for each in manifest["bad_documents"]]
    assert all(content[at:].startswith(b"WARC/1.0\r\nWARC-Type: conversion") for at in places)
    theirs = {"a": write_rows(tmp_path / "a.jsonl", texts), "valid": corpus["valid"]}
    assert_same_result(config.directory, one_process(theirs, tmp_path / "theirs"))
    fatal = config_of(files, tmp_path / "fatal", **limits)
    plan_of(fatal)
    with pytest.raises(ValueError, match=r"a\.wet\.gz: the document of 11 bytes at byte"):
        run_stage(fatal, "count", 0)


def test_a_warc_file_that_is_damaged_or_holds_pages_is_refused_whatever_was_asked_for(
    corpus, tmp_path
):
    whole = write_warc(tmp_path / "a.warc", texts_as_records(["some text", "more"])).read_bytes()
    page = write_warc(tmp_path / "page.warc", [("response", b"<html>")]).read_bytes()
    last = whole.rindex(b"WARC/1.0")
    length = b"Content-Length: 9"
    cases = [
        ("a.warc.gz", gzip.compress(whole)[:-9], "not a whole gzip file"),
        ("b.warc", whole[:-5], "a record of 4 bytes ends after 3"),
        ("c.warc", whole[: last + 50], "not a whole WARC file"),
        ("d.warc", whole.replace(length, length[:-1] + b"7"), "not the length it gives"),
        ("e.warc", b"some text", "not a whole WARC file: Unknown archive format"),
        ("f.warc.zst", b"\x28\xb5\x2f\xfd" + whole, "Unknown archive format"),
        ("g.warc", page, "of the type response, a page as it came, and no text is taken"),
    ]
    for name, content, message in cases:
        (tmp_path / name).write_bytes(content)
        files = {"a": tmp_path / name, "valid": corpus["valid"]}
        config = config_of(files, tmp_path / f"{name}-out", bad_documents="skip")
        plan_of(config)
        with pytest.raises(ValueError, match=message):
            run_stage(config, "count", 0)


def test_wherever_a_warc_file_is_cut_that_is_seen_but_between_records(tmp_path):
    records = [("conversion", b"some text"), ("metadata", b"x"), ("conversion", b"more")]
    whole = write_warc(tmp_path / "a.warc", records).read_bytes()
    borders = [at for at in range(len(whole)) if whole[at:].startswith(b"WARC/1.0")]
    # Of what stands behind a record (two ends of lines) nobody needs to know.
    unseen = {border - n for border in (*borders[1:], len(whole)) for n in range(5)}
    for size in range(len(whole)):
        rows = io.BytesIO()
        source = io.BytesIO(whole[:size])
        copied = warc.copy_texts(source, rows, max_document_bytes=99, file="a.warc")
        if size in unseen:
            assert not list(copied)
            assert rows.getvalue().count(b"\n") == whole[:size].count(b"Type: conversion")
        else:
            with pytest.raises(ValueError, match=r"^a\.warc: "):
                list(copied)


def test_one_process_reads_no_warc_file(corpus, tmp_path):
    files = {"a": write_warc(tmp_path / "a.wet.gz", []), "valid": corpus["valid"]}
    with pytest.raises(ValueError, match=r"a\.wet\.gz is read with --executor"):
        one_process(files, tmp_path / "out")


def test_what_reads_warc_files_is_told_where_it_is_missing(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "warcio", None)
    files = {"a": write_warc(tmp_path / "a.wet.gz", []), "valid": corpus["valid"]}
    with pytest.raises(ValueError, match=r"pip install 'prepare-app\[warc\]'"):
        plan_of(config_of(files, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_place_that_nothing_reaches_is_refused(corpus, tmp_path):
    config = replace(config_of(corpus, tmp_path), out="nowhere://corpus/run")
    with pytest.raises(
        ValueError, match=r"nowhere://corpus/run can't be reached.*prepare-app\[s3\]"
    ):
        prepare(config)


def test_one_process_writes_no_url(corpus, tmp_path):
    config = replace(config_of(corpus, tmp_path, executor=None), out="s3://corpus/run")
    with pytest.raises(ValueError, match="s3://corpus/run is written with --executor"):
        prepare(config)
