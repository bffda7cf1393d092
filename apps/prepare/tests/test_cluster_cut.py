"""`prepare.cluster.cut`: properties of shares, a table of what ends a document."""

import io

import pytest
from cluster_runs import separated
from hypothesis import given
from hypothesis import strategies as st
from prepare.cluster import cut as cutting


@given(st.lists(separated, min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 9))
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
