"""Token files. Property: any blocks. Table: what is refused, with nothing left behind."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tok import Tokenizer

END = "<|endoftext|>"
BYTES = {token_id: bytes([token_id]) for token_id in range(256)}


@pytest.fixture
def output(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "train.npy"


@pytest.fixture
def text_path(tmp_path, corpus):
    path = tmp_path / "corpus.txt"
    path.write_bytes(corpus.encode())
    return path


def test_the_array_holds_the_ids_and_the_sidecar_says_so(small, corpus, text_path, output):
    info = small.encode_file(text_path, output, extra={"entropy": 1.5})
    ids = np.load(output, mmap_mode="r")
    assert ids.tolist() == small.encode(corpus)
    sidecar = json.loads(output.with_suffix(".json").read_text())
    assert sidecar == {
        "format": "groundup-tokens",
        "version": 1,
        "dtype": "uint16",
        "token_count": len(ids),
        "byte_count": len(corpus.encode()),
        "document_count": corpus.count(END),
        "vocab_size": 400,
        "tokenizer_hash": small.fingerprint,
        "source": ["corpus.txt"],
        "extra": {"entropy": 1.5},
    }
    assert sidecar == json.loads(info.to_json())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(data=st.data(), num_threads=st.integers(1, 4))
def test_neither_blocks_nor_threads_matter(texts, small, tmp_path, data, num_threads):
    text = data.draw(texts.filter(bool))
    text *= 1 + 600_000 // len(text.encode())  # three blocks
    (tmp_path / "text.txt").write_bytes(text.encode())
    small.encode_file(tmp_path / "text.txt", tmp_path / "ids.npy", num_threads=num_threads)
    assert np.array_equal(np.load(tmp_path / "ids.npy"), small.encode_to_numpy(text))


def test_each_file_is_a_text_of_its_own_and_gzip_is_unpacked(tmp_path, output):
    tokenizer = Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")], ["<s>"])
    (tmp_path / "1.txt").write_text("xa")
    (tmp_path / "2.txt").write_text("")
    (tmp_path / "3.txt.gz").write_bytes(gzip.compress(b"b<s>") + gzip.compress(b"ab"))
    paths = [tmp_path / name for name in ("1.txt", "2.txt", "3.txt.gz")]
    info = tokenizer.encode_file(paths, output)
    assert np.load(output).tolist() == [*b"xab", 257, 256]
    assert (info.byte_count, info.document_count) == (8, 0)
    assert info.source == ("1.txt", "2.txt", "3.txt.gz")


def test_a_separator_that_is_asked_for_ends_every_file_once(tmp_path, output):
    tokenizer = Tokenizer(BYTES, [], ["<s>"])
    contents = ["x", "", "a<s>b", "c<s>"]
    paths = [tmp_path / f"{number}.txt" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content)
    info = tokenizer.encode_file(paths, output, document_separator="<s>")
    assert np.load(output).tolist() == [*b"x", 256, 256, *b"a", 256, *b"b", 256, *b"c", 256]
    assert (info.byte_count, info.document_count) == (10, 5)


def test_many_ids_take_four_bytes(output, text_path):
    tokenizer = Tokenizer(BYTES | {2**16: END.encode()}, [], [END])
    info = tokenizer.encode_file(text_path, output)
    ids = np.load(output)
    assert (ids.dtype, info.dtype, info.vocab_size) == (np.uint32, "uint32", 2**16 + 1)
    assert np.count_nonzero(ids == 2**16) == info.document_count == 20


def test_progress_counts_the_bytes_of_text(small, corpus, text_path, output):
    text_path.write_bytes(corpus.encode() * 200)
    seen = []
    small.encode_file(text_path, output, progress=seen.append)
    assert seen == sorted(set(seen))
    assert seen[-1] == len(corpus.encode()) * 200
    assert len(seen) > 3


def test_without_a_separator_no_documents_are_counted(output, text_path):
    assert Tokenizer(BYTES, []).encode_file(text_path, output).document_count == 0


# (2 bytes of "é" cut by the end; a bad byte after whole ones; one in a character begun earlier.)
INVALID = [
    (b"ab\xc3", 2),
    (b"abc\xffd", 3),
    (b"ab\xe7\x8eX", 2),
    (b"\x80", 0),
    (b"ab\xed\xa0\x80", 2),
]


@pytest.mark.parametrize("before", [0, 300_000])
@pytest.mark.parametrize(("content", "byte"), INVALID)
def test_invalid_utf8_is_named_by_file_and_byte(small, tmp_path, output, content, byte, before):
    (tmp_path / "bad.txt").write_bytes(b"a b " * (before // 4) + content)
    byte += before
    with pytest.raises(ValueError, match=rf"bad\.txt must be UTF-8, but byte {byte} begins no"):
        small.encode_file(tmp_path / "bad.txt", output)
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.txt", b"", r"no text to encode in .*empty\.txt"),
        ("empty.jsonl", b"\n", r"no text to encode in .*empty\.jsonl"),
        ("cut.gz", gzip.compress(b"some text")[:-9], r"cut\.gz is damaged or cut short"),
        ("not.gz", b"some text", r"not\.gz is damaged or cut short"),
        (
            "spoiled.gz",
            gzip.compress(b"some text")[:12] + b"\xff" * 20,
            r"spoiled\.gz is damaged or cut short",
        ),
        ("a.jsonl", b'{"text": "a"}\n{"b": 1}\n', r"a\.jsonl, line 2: there is no field"),
        ("b.jsonl", b'{"text": "a"}\n{"text": 1}\n', r"b\.jsonl, line 2: .* a string"),
        ("c.jsonl", b'{"text": "a"\n', r"c\.jsonl, line 1"),
        ("d.parquet", b"PAR1", r"d\.parquet cannot be read as Parquet"),
    ],
)
def test_a_file_without_text_is_refused(small, tmp_path, output, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, OSError), match=reason):
        small.encode_file(tmp_path / name, output)
    assert not list(output.parent.iterdir())


def test_a_missing_file_is_named(small, tmp_path, text_path, output):
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        small.encode_file([text_path, tmp_path / "none.txt"], output)
    with pytest.raises(ValueError, match="no files"):
        small.encode_file([], output)
    assert not list(output.parent.iterdir())


def test_an_output_of_another_kind_is_refused(small, tmp_path, text_path):
    with pytest.raises(ValueError, match=r"must end in \.npy, got '.*ids\.bin'"):
        small.encode_file(text_path, tmp_path / "ids.bin")


def test_a_text_is_never_overwritten_by_its_own_sidecar(small, tmp_path, text_path):
    text = text_path.rename(tmp_path / "train.json")
    with pytest.raises(ValueError, match="would be overwritten"):
        small.encode_file(text, tmp_path / "train.npy")
    assert text.read_bytes()


def test_a_separator_that_is_no_special_token_is_refused(small, text_path, output):
    with pytest.raises(ValueError, match=r"document_separator must be .* got '<s>'"):
        small.encode_file(text_path, output, document_separator="<s>")


@pytest.mark.parametrize("extra", [{"x": object()}, {"x": float("nan")}])
def test_what_json_can_not_hold_is_refused_at_once(small, text_path, output, extra):
    with pytest.raises((TypeError, ValueError), match="JSON"):
        small.encode_file(text_path, output, extra=extra)


def test_a_full_disk_leaves_the_old_token_file(small, text_path, output, monkeypatch, full_disk):
    output.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        small.encode_file(text_path, output)
    assert [path.read_bytes() for path in output.parent.iterdir()] == [b"old"]


def test_a_killed_run_leaves_the_old_token_file(small, tmp_path, text_path, output):
    small.save(tmp_path / "tokenizer.json")
    small.encode_file(text_path, output)
    old = output.read_bytes(), output.with_suffix(".json").read_bytes()
    code = (
        "import os, sys\nfrom tok import Tokenizer\n"
        "tokenizer = Tokenizer.load(sys.argv[1])\n"
        "tokenizer.encode_file(sys.argv[2], sys.argv[3], progress=lambda _: os._exit(9))\n"
    )
    arguments = [tmp_path / "tokenizer.json", text_path, output]
    run = subprocess.run([sys.executable, "-c", code, *map(str, arguments)])
    assert run.returncode == 9
    assert (output.read_bytes(), output.with_suffix(".json").read_bytes()) == old


def test_a_full_disk_leaves_the_old_tokenizer(small, output, full_disk):
    output.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        small.save(output)
    assert [path.read_bytes() for path in output.parent.iterdir()] == [b"old"]
