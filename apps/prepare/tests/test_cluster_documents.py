"""`prepare.cluster`: what happens to bad documents, and what is read of the good ones.

Parity with one process that never had them, properties against naive twins, a table of rows.
"""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from bpe_rs import PretokenCounts
from cluster_runs import (
    END,
    assert_same_result,
    config_of,
    one_process,
    plan_of,
    run_all,
    run_stage,
    separated,
)
from hypothesis import given
from hypothesis import strategies as st
from prepare.cluster import cut as cutting
from prepare.cluster import documents, plan
from prepare.cluster import text as reading
from prepare.cluster.status import read_status
from trainkit import TokenDataset

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


@given(separated, st.integers(1, 12), st.integers(1, 9))
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


@given(text=separated, start=st.integers(0, 9), limit=st.integers(1, 12), window=st.integers(1, 9))
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


def test_text_that_changes_while_it_is_read_is_refused(corpus, tmp_path):
    span = cutting.Span(plan.describe(str(corpus["a"])), 0, 100)
    settings = plan.Settings(300, (END,), 1, "skip", 10_000, {})

    def work(_: reading.Sources) -> None:
        corpus["a"].write_bytes(b"other text of another size")

    with pytest.raises(ValueError, match=r"a\.txt has changed since the run was planned"):
        reading.ShareText((span,), settings, tmp_path).read(work)
