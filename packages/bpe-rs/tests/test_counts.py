"""Property: counts of parts, merged, saved, spilled or fed, are the counts of the whole.

Parity: they are those of a `Counter` over what the `regex` package finds. Table: bad input and
damaged files are clear errors.
"""

import gzip
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest
import regex
from bpe_rs import GPT2_PATTERN, PretokenCounts, train_bpe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SPECIAL = ["<|end|>", "b b"]
TEXTS = st.lists(st.text("ab <|end>é\r\n'1", max_size=40), max_size=6)
IN_A_DIRECTORY = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def counted(texts: list[str]) -> Counter[bytes]:
    cut = regex.compile("|".join(map(regex.escape, SPECIAL)))
    pieces = [piece for text in texts for piece in cut.split(text)]
    return Counter(m.encode() for piece in pieces for m in regex.findall(GPT2_PATTERN, piece))


def counts_of(*texts: str | bytes) -> PretokenCounts:
    counts = PretokenCounts(SPECIAL)
    counts.update(texts)
    return counts


@settings(deadline=None)
@given(TEXTS)
def test_counts_are_those_of_a_counter(texts: list[str]):
    theirs = counted(texts)
    ours = counts_of(*texts)
    assert list(ours) == sorted(theirs.items())
    assert (len(ours), ours.total) == (len(theirs), theirs.total())
    assert ours == counts_of(*(text.encode() for text in texts))


@IN_A_DIRECTORY
@given(TEXTS, TEXTS, TEXTS)
def test_parts_merged_saved_and_loaded_are_the_whole(
    tmp_path: Path, first: list[str], second: list[str], third: list[str]
):
    path = tmp_path / "counts"
    whole = counts_of(*first, *second, *third)
    whole.save(path)
    saved = path.read_bytes()
    parts = counts_of(*third)
    for texts in (first, second):
        counts_of(*texts).save(path)
        parts.merge(PretokenCounts.load(path))
    assert parts == whole
    parts.save(path)
    assert path.read_bytes() == saved
    assert (parts.pattern, parts.special_tokens) == (GPT2_PATTERN, SPECIAL)


@pytest.mark.parametrize("num_threads", [1, 2, 7])
def test_counts_that_spill_are_the_counts(tmp_path: Path, num_threads: int):
    texts = [" ".join(f"{(n * n) % 9973} w{n}é" for n in range(k, k + 20_000)) for k in (0, 9000)]
    paths = [tmp_path / f"{k}.txt" for k in range(2)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    spilled = PretokenCounts.count(
        paths, SPECIAL, max_memory_bytes=100_000, num_threads=num_threads
    )
    whole = PretokenCounts.count(paths, SPECIAL)
    assert spilled == whole == counts_of(*texts)
    assert train_bpe(spilled, 500, SPECIAL) == train_bpe(paths, 500, SPECIAL)


def test_training_on_merged_counts_is_training_on_the_files(tmp_path: Path):
    texts = ["low low lower", "newest newest<|end|>widest", "bb b b"]
    paths = [tmp_path / f"{k}.txt" for k in range(3)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    counts = PretokenCounts.count(paths[2], SPECIAL)
    for path in paths[:2]:
        counts.merge(PretokenCounts.count(path, SPECIAL))
    assert train_bpe(counts, 270, SPECIAL) == train_bpe(paths, 270, SPECIAL)


def test_update_reads_an_iterator_as_it_comes():
    def texts() -> Iterator[str]:
        for number in range(50_000):
            yield f"text number {number % 10}"

    counts = PretokenCounts()
    counts.update(texts())
    assert dict(counts)[b" number"] == 50_000


def test_one_str_is_one_text():
    counts = PretokenCounts()
    counts.update("one two")
    counts.update(b"one two")
    assert list(counts) == [(b" two", 2), (b"one", 2)]


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (["a", "b\ud800"], ValueError, r"text 1.*character 1 is a lone surrogate"),
        ([b"a", b"ab\xff"], ValueError, r"text 1.*byte 2"),
        (["a", 1], TypeError, r"text 1 must be str or bytes, not int"),
        (1, TypeError, "'int' object is not iterable"),
    ],
)
def test_what_is_no_text_is_an_error_and_changes_nothing(
    texts: object, error: type[Exception], message: str
):
    counts = counts_of("as it was")
    with pytest.raises(error, match=message):
        counts.update(texts)  # pyright: ignore[reportArgumentType]
    assert counts == counts_of("as it was")


def test_an_error_of_the_iterable_is_raised_and_changes_nothing():
    def texts() -> Iterator[str]:
        yield from repeat("some words", 1000)
        raise LookupError("no more")

    counts = counts_of("as it was")
    with pytest.raises(LookupError, match="no more"):
        counts.update(texts())
    assert counts == counts_of("as it was")


def test_counts_cut_otherwise_do_not_merge():
    for other in [PretokenCounts(["<|other|>"]), PretokenCounts(SPECIAL, pattern=r"\w+|\W+")]:
        with pytest.raises(ValueError, match=r"must be the same|only if"):
            counts_of("a").merge(other)


def test_counts_merged_with_themselves_are_doubled():
    counts = counts_of("a a b")
    counts.merge(counts)
    assert counts == counts_of("a a b", "a a b")


def test_other_special_tokens_than_those_of_the_counts_are_refused():
    with pytest.raises(ValueError, match="special tokens"):
        train_bpe(counts_of("some text"), 300, ["<|other|>"])


@pytest.mark.parametrize(
    "option", [{"pattern": r"\w+"}, {"max_pretoken_bytes": 9}, {"text_field": "text"}]
)
def test_options_of_counting_do_not_go_with_counts(option: dict[str, object]):
    (name,) = option
    with pytest.raises(ValueError, match=name):
        train_bpe(counts_of("some text"), 300, SPECIAL, **option)  # pyright: ignore


def test_a_long_pretoken_is_cut_with_a_warning(tmp_path: Path):
    counts = PretokenCounts(max_pretoken_bytes=5)
    with pytest.warns(UserWarning, match=r"^2 pretokens were longer than 5 bytes"):
        counts.update("aaaaaaa éééé b")
    assert dict(counts) == {b"aaaaa": 1, b"aa": 1, " éé".encode(): 1, "éé".encode(): 1, b" b": 1}


DOCUMENTS = ["low lower", 'quotes " and \n breaks', "", "é中🤗", "<|end|> b b"]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "ndjson", "parquet"])
def test_documents_are_texts_of_their_own(tmp_path: Path, suffix: str):
    path = tmp_path / f"documents.{suffix}"
    if suffix == "parquet":
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pa.table({"id": range(5), "body": DOCUMENTS}), path)
    else:
        lines = "".join(json.dumps({"id": 1, "body": text}) + "\n" for text in DOCUMENTS)
        data = lines.encode()
        path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    assert PretokenCounts.count(path, SPECIAL, text_field="body") == counts_of(*DOCUMENTS)
    with pytest.raises(ValueError, match=r"text.*id.*body|text_field"):
        PretokenCounts.count(path, SPECIAL)


def test_every_damage_to_a_file_is_an_error(tmp_path: Path):
    path = tmp_path / "counts"
    counts_of("some words and some more words").save(path)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="counts"):
            PretokenCounts.load(path)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="counts"):
            PretokenCounts.load(path)
    with pytest.raises(FileNotFoundError):
        PretokenCounts.load(tmp_path / "missing")


@IN_A_DIRECTORY
@given(
    st.lists(st.lists(st.sampled_from("ab é"), max_size=30).map("".join), min_size=1, max_size=6)
)
def test_files_merged_on_disk_are_the_file_of_counts_merged_in_memory(
    tmp_path: Path, texts: list[str]
):
    paths = [tmp_path / f"{number}.counts" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        counts_of(text).save(path)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    counts_of(*texts).save(theirs)
    PretokenCounts.merge_files(paths, ours)
    assert ours.read_bytes() == theirs.read_bytes()
    PretokenCounts.merge_files(paths, ours, min_count=3)
    assert list(PretokenCounts.load(ours)) == [e for e in counts_of(*texts) if e[1] >= 3]


def test_learning_from_opened_files_is_learning_from_their_sum(tmp_path: Path):
    texts = ["the theme of the thesis", "a thesis, then", ""]
    paths = [tmp_path / f"{number}.counts" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        counts_of(text).save(path)
    opened = PretokenCounts.open(paths)
    assert opened == counts_of(*texts)
    assert (len(opened), opened.total) == (len(counts_of(*texts)), counts_of(*texts).total)
    for min_count in (1, 2):
        ours, theirs = (
            train_bpe(counts, 270, SPECIAL, min_count=min_count)
            for counts in (opened, counts_of(*texts))
        )
        assert ours == theirs
    with pytest.raises(ValueError, match="no files of counts"):
        PretokenCounts.open([])
    with pytest.raises(FileNotFoundError):
        PretokenCounts.open([paths[0], tmp_path / "missing"])


def test_files_that_do_not_merge_are_an_error_that_leaves_the_old_file(tmp_path: Path):
    output, path, other = (tmp_path / name for name in ("output", "counts", "other"))
    counts_of("as it was").save(output)
    old = output.read_bytes()
    counts_of("some words").save(path)
    PretokenCounts(["<|other|>"]).save(other)
    cut = tmp_path / "cut.counts"
    cut.write_bytes(path.read_bytes()[:-1])
    cases = {
        r"cut\.counts is damaged at byte": [path, cut],
        "special tokens": [path, other],
        "no files of counts to merge": [],
    }
    for message, paths in cases.items():
        with pytest.raises(ValueError, match=message):
            PretokenCounts.merge_files(paths, output)
    with pytest.raises(ValueError, match="min_count must be at least 1, got 0"):
        PretokenCounts.merge_files([path], output, min_count=0)
    with pytest.raises(FileNotFoundError):
        PretokenCounts.merge_files([path, tmp_path / "missing"], output)
    assert output.read_bytes() == old
    assert {each.name for each in tmp_path.iterdir()} == {
        *("output", "counts", "other", "cut.counts")
    }


def test_ctrl_c_ends_merging_of_files_and_leaves_nothing(tmp_path: Path):
    path, output = tmp_path / "counts", tmp_path / "output"
    PretokenCounts.count(write_words(tmp_path / "words.txt"), SPECIAL).save(path)
    timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        PretokenCounts.merge_files([path] * 200, output)  # 20 million entries
    timer.join()
    assert {each.name for each in tmp_path.iterdir()} == {"counts", "words.txt"}


def write_words(path: Path) -> Path:
    path.write_text(" ".join(f"w{number}é" for number in range(100_000)), encoding="utf-8")
    return path


def test_spans_are_counted_as_files_that_hold_only_them(tmp_path: Path):
    path, rows = tmp_path / "text.txt", tmp_path / "rows.jsonl"
    path.write_bytes(b"\xffone two<|end|>b btwo three\xff")
    rows.write_bytes(b'{}\n{"text": "four"}\n[]\n')
    counts = PretokenCounts.count(
        [path, path, rows], SPECIAL, spans=[(1, 15), (18, 27), (3, 20)], num_threads=2
    )
    assert counts == counts_of("one two<|end|>", "two three", "four")
    whole = tmp_path / "whole.txt"
    whole.write_text("all of it")
    assert PretokenCounts.count([whole], SPECIAL, spans=[None]) == counts_of("all of it")


def test_what_is_no_span_is_refused(tmp_path: Path):
    path, packed = tmp_path / "text.txt", tmp_path / "text.txt.gz"
    path.write_text("0123456789")
    packed.write_bytes(gzip.compress(b"0123456789"))
    table = tmp_path / "table.parquet"
    table.touch()
    for name, span, message in [
        (path, (0, 11), r"text\.txt were to be read, but it has 10 bytes"),
        (path, (5, 5), "at least one"),
        (packed, (0, 5), "only from its beginning"),
        (table, (0, 5), "only from its beginning"),
    ]:
        with pytest.raises(ValueError, match=message):
            PretokenCounts.count([name], SPECIAL, spans=[span])
    with pytest.raises(ValueError, match="each of the 2 files, got 1"):
        PretokenCounts.count([path, path], SPECIAL, spans=[(0, 3)])


def test_progress_is_reported_and_may_end_the_counting(tmp_path: Path):
    path = tmp_path / "text"
    path.write_text("some words " * 100_000, encoding="utf-8")
    reports: list[tuple[str, int, int]] = []
    PretokenCounts.count(path, progress=lambda *report: reports.append(report))
    assert reports[-1] == ("count", path.stat().st_size, path.stat().st_size)

    def enough(*report: object) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        PretokenCounts.count(path, progress=enough)


def test_ctrl_c_ends_counting_within_a_moment():
    def endless() -> Iterator[str]:
        text = "words " * 20_000
        while True:
            yield text

    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.3, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        PretokenCounts().update(endless())
    timer.join()
    assert pressed
