"""Files of rows, and what their documents are ended by. Table: kinds of files."""

import gzip
import json

import numpy as np
import pytest
from tok import Tokenizer

END = "<|endoftext|>"
TEXTS = ["one", "", f"two{END}", f"{END}three", "naïve 王🙂\n" * 5]


def ended(tokenizer, texts):
    """The ids by definition: each document's, and one separator unless it brings its own."""
    end, ids = tokenizer.special_tokens[END], []
    for text in texts:
        ids += tokenizer.encode(text)
        if not text.endswith(END):
            ids.append(end)
    return ids


def write_rows(path, texts, field="text"):
    lines = "".join(json.dumps({"id": 1, field: text}) + "\n" for text in texts)
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "wt") as file:
        file.write(lines)
    return path


def write_table(path, texts, field="text"):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({field: texts}), path)
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", write_rows),
        ("a.ndjson", write_rows),
        ("a.jsonl.gz", write_rows),
        ("a.parquet", write_table),
    ],
)
@pytest.mark.parametrize("num_threads", [1, 3])
def test_each_row_is_a_document_and_ended_once(small, tmp_path, name, write, num_threads):
    texts = TEXTS * 600
    path = write(tmp_path / name, texts, field="body")
    output = tmp_path / "ids.npy"
    info = small.encode_file(path, output, text_field="body", num_threads=num_threads)
    ids = np.load(output)
    assert ids.tolist() == ended(small, texts)
    assert info.document_count == np.count_nonzero(ids == small.special_tokens[END])
    assert info.byte_count == sum(len(text.encode()) for text in texts)


def test_files_of_several_kinds_keep_their_order(small, tmp_path):
    (tmp_path / "1.txt").write_text("first ")
    (tmp_path / "3.txt").write_text("third ")
    paths = [
        tmp_path / "1.txt",
        write_table(tmp_path / "2.parquet", TEXTS),
        tmp_path / "3.txt",
        write_rows(tmp_path / "4.jsonl.gz", TEXTS),
        write_table(tmp_path / "5.parquet", TEXTS),
        write_table(tmp_path / "6.parquet", TEXTS),
    ]
    small.encode_file(paths, tmp_path / "ids.npy")
    rows = ended(small, TEXTS)
    first, third = small.encode("first "), small.encode("third ")
    expected = first + rows + third + rows * 3
    assert np.load(tmp_path / "ids.npy").tolist() == expected


def test_spans_give_the_ids_of_files_that_hold_only_them(small, tmp_path):
    text, rows = tmp_path / "a.txt", write_rows(tmp_path / "b.jsonl", TEXTS)
    data = f"one two{END} three wörds{END}".encode()
    assert text.write_bytes(b"\xff" + data) == 47
    border, lines = data.index(b" three") + 1, rows.read_bytes().splitlines(keepends=True)
    output = tmp_path / "ids.npy"
    spans = [(1, border), (border, len(data) + 1), (len(lines[0]), rows.stat().st_size)]
    info = small.encode_file([text, text, rows], output, spans=spans, num_threads=2)
    expected = small.encode(data.decode()) + ended(small, TEXTS[1:])
    assert np.load(output).tolist() == expected
    assert info.source == ("a.txt", "b.jsonl")
    with pytest.raises(ValueError, match=r"a\.txt were to be read, but it has 47 bytes"):
        small.encode_file(text, output, spans=[(1, 48)])
    assert np.load(output).tolist() == expected


def test_the_whole_array_is_shown_before_it_has_its_name(small, tmp_path):
    path, output, shown = tmp_path / "a.txt", tmp_path / "ids.npy", []
    path.write_text("some text " * 100)

    def look(unfinished):
        assert not output.exists()
        shown.append(unfinished.read_bytes())

    small.encode_file(path, output, before_sync=look)
    assert shown == [output.read_bytes()]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_document_that_spells_a_special_token_may_be_plain_text(small, tmp_path):
    path = write_rows(tmp_path / "a.jsonl", [f"a{END}b"])
    small.encode_file(path, tmp_path / "ids.npy", allowed_special=())
    ids = np.load(tmp_path / "ids.npy").tolist()
    assert small.decode(ids) == f"a{END}b{END}"
    assert ids.count(small.special_tokens[END]) == 1


def test_rows_without_a_separator_are_refused(tmp_path):
    tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<s>"])
    path = write_rows(tmp_path / "a.jsonl.gz", ["a"])
    with pytest.raises(ValueError, match=r"a\.jsonl\.gz need a separator.*'<s>'"):
        tokenizer.encode_file(path, tmp_path / "ids.npy")
    tokenizer.encode_file(path, tmp_path / "ids.npy", document_separator="<s>")
    assert np.load(tmp_path / "ids.npy").tolist() == [97, 256]


def test_what_an_archive_may_unpack_to_is_bounded(small, tmp_path):
    path = write_rows(tmp_path / "a.jsonl.gz", ["a" * 100_000])
    with pytest.raises(ValueError, match="expands to more than 1000 bytes"):
        small.encode_file(path, tmp_path / "ids.npy", max_expanded_bytes=1000)


def test_what_progress_raises_ends_it(small, tmp_path):
    def fail(done):
        raise RuntimeError("enough")

    path = write_rows(tmp_path / "a.jsonl", TEXTS * 10_000)
    with pytest.raises(RuntimeError, match="enough"):
        small.encode_file(path, tmp_path / "ids.npy", progress=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
