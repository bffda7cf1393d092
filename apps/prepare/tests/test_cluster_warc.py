"""`prepare.cluster.warc`: parity with the same texts as rows, tables and properties of damage."""

import gzip
import io
import json
import sys
from pathlib import Path

import pytest
from cluster_runs import (
    assert_same_result,
    config_of,
    made_up_documents,
    one_process,
    plan_of,
    run_all,
    run_stage,
    write_rows,
)
from prepare.cluster import warc


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
