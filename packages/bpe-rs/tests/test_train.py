"""Parity: our merges are those of a trainer that counts everything anew, in plain Python.

Property: threads, compression and the cutting into files of one text change nothing.
Table: every kind of bad input is a clear error.
"""

import copy
import gzip
import os
import pickle
import random
import signal
import threading
import time
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from bpe_rs import GPT2_PATTERN, train_bpe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SPECIAL = ["<|end|>", "<|end|><|end|>", "b b"]


def naive_merges(texts: list[str], limit: int) -> list[tuple[bytes, bytes]]:
    """What training is defined to learn."""
    cut = regex.compile("|".join(map(regex.escape, sorted(SPECIAL, key=len, reverse=True))))
    pieces = [piece for text in texts for piece in cut.split(text)]
    pretokens = Counter(match for piece in pieces for match in regex.findall(GPT2_PATTERN, piece))
    words = {tuple(bytes([b]) for b in pretoken.encode()): n for pretoken, n in pretokens.items()}
    merges: list[tuple[bytes, bytes]] = []
    while len(merges) < limit:
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                counts[pair] += count
        if not counts:
            break
        merges.append(max(counts, key=lambda pair: (counts[pair], pair)))
        words = {merge_all(word, merges[-1]): count for word, count in words.items()}
    return merges


def merge_all(word: tuple[bytes, ...], pair: tuple[bytes, bytes]) -> tuple[bytes, ...]:
    merged: list[bytes] = []
    position = 0
    while position < len(word):
        width = 2 if word[position : position + 2] == pair else 1
        merged.append(b"".join(word[position : position + width]))
        position += width
    return tuple(merged)


def write(directory: Path, *texts: str) -> list[Path]:
    paths = [directory / f"{index}.txt" for index in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8", newline="")
    return paths


@pytest.fixture(scope="module")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 MB of sentences from 3,000 words: more than one block for each of several threads."""
    draw = random.Random(0)
    letters = "etaoinshrdluéß中"
    words = ["".join(draw.choices(letters, k=draw.randint(1, 9))) for _ in range(3000)]
    ends = [" ", " ", " ", ", ", ".\r\n", "\n\n", "<|end|>"]
    text = "".join(draw.choice(words) + draw.choice(ends) for _ in range(600_000))
    return write(tmp_path_factory.mktemp("prose"), text)[0]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text("ab <|end>é\r\n'", max_size=60), min_size=1, max_size=4),
    limit=st.integers(0, 30),
)
def test_merges_are_those_of_the_definition(tmp_path: Path, texts: list[str], limit: int):
    theirs = naive_merges(["a", *texts], limit)
    vocab, ours = train_bpe(write(tmp_path, "a", *texts), 256 + len(SPECIAL) + limit, SPECIAL)
    assert ours == theirs
    first = [token.encode() for token in SPECIAL] + [bytes([byte]) for byte in range(256)]
    assert list(vocab) == list(range(len(vocab)))
    assert list(vocab.values()) == first + [left + right for left, right in theirs]


def test_merges_of_prose_are_those_of_the_definition(prose: Path):
    _, ours = train_bpe(prose, 400, SPECIAL)
    assert ours == naive_merges([prose.read_text(encoding="utf-8")], 400 - 256 - len(SPECIAL))


@pytest.mark.parametrize("num_threads", [1, 2, 7, 100_000])
def test_the_thread_count_changes_nothing(prose: Path, num_threads: int):
    assert train_bpe(prose, 2000, SPECIAL, num_threads=num_threads) == train_bpe(
        prose, 2000, SPECIAL
    )


def test_a_gz_file_gives_what_the_plain_file_gives(prose: Path, tmp_path: Path):
    raw = prose.read_bytes()
    compressed = tmp_path / "prose.txt.gz"
    # Two members one after the other, as `cat a.gz b.gz` makes them.
    compressed.write_bytes(gzip.compress(raw[:1_000_000], 1) + gzip.compress(raw[1_000_000:], 1))
    assert train_bpe(compressed, 1000, SPECIAL) == train_bpe(prose, 1000, SPECIAL)


def test_files_are_texts_of_their_own(tmp_path: Path):
    separate = train_bpe(write(tmp_path, "ab", "cd"), 400, [])
    assert separate[1] == [(b"c", b"d"), (b"a", b"b")]
    joined = train_bpe(write(tmp_path, "abcd"), 400, [])
    assert len(joined[1]) == 3


def test_paths_are_strings_or_path_objects(tmp_path: Path):
    (path,) = write(tmp_path, "ab ab")
    expected = train_bpe(path, 300, [])
    assert train_bpe(str(path), 300, []) == expected
    assert train_bpe([str(path)], 300, ()) == expected


def test_training_ends_when_no_pair_is_left(tmp_path: Path):
    vocab, merges = train_bpe(write(tmp_path, "abab"), 2**60, ["<|end|>"])
    assert merges == [(b"a", b"b"), (b"ab", b"ab")]
    assert len(vocab) == 1 + 256 + 2


def test_vocab_size_may_leave_no_room_for_merges(tmp_path: Path):
    vocab, merges = train_bpe(write(tmp_path, "abab"), 257, ["<|end|>"])
    assert (len(vocab), merges) == (257, [])


@pytest.mark.parametrize("unit", ["a", "ab", "abc"])
def test_one_huge_pretoken_is_no_trouble(tmp_path: Path, unit: str):
    # Merging that looks at the whole pretoken for each merge would take hours.
    vocab, merges = train_bpe(write(tmp_path, unit * 500_000), 300, [])
    tokens = list(vocab.values())[256:]
    doubled = [unit.encode() * 2**power for power in range(15)]
    assert set(doubled) - {b"a"} <= set(tokens)
    assert len(merges) == len(tokens)


def test_one_huge_random_pretoken_is_no_trouble(tmp_path: Path):
    text = "".join(random.Random(1).choices("abcdefghij", k=500_000))
    vocab, merges = train_bpe(write(tmp_path, text), 10_000, [])
    assert len(merges) == 10_000 - 256
    assert all(token in text.encode() for token in list(vocab.values())[256:])


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"good \xff bad", 5),
        (b"cut short \xe4\xb8", 10),
        (b"x" * 3_000_000 + b"\xc3(", 3_000_000),
        (b"ends\n" * 500_000 + b"\xed\xa0\x80", 2_500_000),  # a surrogate in UTF-8's clothes
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_invalid_utf8_is_named_with_its_file_and_offset(
    tmp_path: Path, content: bytes, offset: int, suffix: str
):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(gzip.compress(content, 1) if suffix == ".txt.gz" else content)
    with pytest.raises(ValueError, match=rf"bad{suffix} must be UTF-8, but byte {offset} ") as info:
        train_bpe(path, 300, [])
    assert ("after decompression" in str(info.value)) == (suffix == ".txt.gz")


@pytest.mark.parametrize(
    ("text", "vocab_size", "special_tokens", "message"),
    [
        ("a", 257, ["<a>", "<b>"], "vocab_size is 257, but .* alone need 258"),
        ("a", 0, [], "vocab_size is 0, but .* alone need 256"),
        ("a", -1, [], "vocab_size must be at least 0 and below .*, got -1"),
        ("a", 2**80, [], "vocab_size must be at least 0 and below"),
        ("", 300, [], "no text to learn from"),
        ("<a><a>", 300, ["<a>"], "no text to learn from"),
        ("a", 300, ["<a>", ""], "special token 1 is empty"),
        ("a", 300, ["<a>", "<a>"], '"<a>" is given twice'),
        ("a", 300, ["<a>", "a"], '"a" is a single byte'),
        ("a", 300, ["<\ud800>"], "character 1 is a lone surrogate"),
    ],
)
def test_what_cannot_be_learned_is_a_value_error(
    tmp_path: Path, text: str, vocab_size: int, special_tokens: list[str], message: str
):
    with pytest.raises(ValueError, match=message):
        train_bpe(write(tmp_path, text), vocab_size, special_tokens)


def test_no_path_is_no_text():
    with pytest.raises(ValueError, match="no text to learn from"):
        train_bpe([], 300, [])


@pytest.mark.parametrize("num_threads", [0, -1])
def test_fewer_than_one_thread_is_a_value_error(tmp_path: Path, num_threads: int):
    with pytest.raises(ValueError, match="num_threads must be at least"):
        train_bpe(write(tmp_path, "a"), 300, [], num_threads=num_threads)


def test_a_missing_file_is_named_before_any_is_read(tmp_path: Path):
    (first,) = write(tmp_path, "text")
    missing = tmp_path / "missing.txt"
    with pytest.raises(FileNotFoundError) as info:
        train_bpe([first, missing], 300, [])
    assert info.value.filename == str(missing)


def test_a_directory_is_an_os_error(tmp_path: Path):
    with pytest.raises(OSError, match=regex.escape(tmp_path.name)):
        train_bpe(tmp_path, 300, [])


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"text " * 99)[:-9], b"\x1f\x8b"])
def test_a_broken_gz_file_is_an_os_error(tmp_path: Path, content: bytes):
    path = tmp_path / "broken.gz"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"broken\.gz"):
        train_bpe(path, 300, [])


@pytest.mark.parametrize("special_tokens", ["<a>", [b"<a>"], None])
def test_special_tokens_must_be_a_sequence_of_str(tmp_path: Path, special_tokens: object):
    with pytest.raises(TypeError, match="special_tokens"):
        train_bpe(write(tmp_path, "a"), 300, special_tokens)  # pyright: ignore[reportArgumentType]


def test_ctrl_c_ends_training(tmp_path: Path):
    # Each merge here joins one pair among millions: enough of them for minutes.
    text = "".join(random.Random(2).choices("abcdefghijklmnopqrstuvwxyz", k=3_000_000))
    paths = write(tmp_path, text)
    interrupt = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        train_bpe(paths, 10_000_000, [])
    interrupt.join()
    assert train_bpe(write(tmp_path, "ab"), 300, [])[1] == [(b"a", b"b")]


def drawn_words(count: int, seed: int) -> str:
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghij", k=12)) for _ in range(count))


def test_ctrl_c_may_return_the_merges_so_far_and_training_goes_on_from_them(tmp_path: Path):
    (path,) = write(tmp_path, drawn_words(150_000, seed=3))
    is_merging = threading.Event()

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "merge" and done > 0 and not is_merging.is_set():
            is_merging.set()
            signal.raise_signal(signal.SIGINT)

    partial = train_bpe(path, 10_000_000, [], on_interrupt="return", progress=progress)
    assert is_merging.is_set()
    learned = len(partial.merges)
    assert 0 < learned < 1_000_000
    more = 256 + learned + 50
    resumed = train_bpe(path, more, [], initial_merges=partial.merges)
    assert resumed == train_bpe(path, more, [])
    assert resumed.truncate(256 + learned) == partial


@pytest.mark.parametrize(
    ("initial_merges", "message"),
    [
        ([(b"a", b"bc")], "initial_merges.*0.*bc"),
        ([(b"a", b"b"), (b"a", b"b")], "initial_merges.*1"),
        ([(b"a", b"b")] * 2, "initial_merges"),
    ],
)
def test_merges_to_start_from_must_build_on_one_another(
    tmp_path: Path, initial_merges: list[tuple[bytes, bytes]], message: str
):
    with pytest.raises(ValueError, match=message):
        train_bpe(write(tmp_path, "abc"), 300, [], initial_merges=initial_merges)


@pytest.mark.parametrize("vocab_size", [259, 260, 300, 10_000])
def test_a_truncated_vocabulary_is_the_one_a_smaller_training_learns(prose: Path, vocab_size: int):
    large = train_bpe(prose, 500, SPECIAL)
    small = train_bpe(prose, min(vocab_size, 500), SPECIAL)
    assert large.truncate(vocab_size) == small


def test_a_vocabulary_is_pickled_and_copied_whole(tmp_path: Path):
    learned = train_bpe(write(tmp_path, "abab"), 300, [])
    for other in (pickle.loads(pickle.dumps(learned)), copy.deepcopy(learned)):
        assert other == learned
        assert other.merges == learned.merges
    assert repr(learned) == "<Vocabulary: 258 tokens, 2 merges>"


def test_a_vocabulary_cannot_be_truncated_below_its_bytes(prose: Path):
    with pytest.raises(ValueError, match=r"vocab_size=258, .* need 259"):
        train_bpe(prose, 300, SPECIAL).truncate(258)


def test_rare_pairs_pretokens_and_long_tokens_may_be_left_out(tmp_path: Path):
    (path,) = write(tmp_path, "abab abab xy xy xy zz")
    assert (b"z", b"z") not in train_bpe(path, 300, [], min_frequency=2).merges
    assert (b"z", b"z") not in train_bpe(path, 300, [], min_count=2).merges
    longest = train_bpe(path, 300, [], max_token_bytes=2).vocab.values()
    assert max(map(len, longest)) == 2


def test_an_alphabet_of_the_bytes_that_occur_leaves_more_room(tmp_path: Path):
    (path,) = write(tmp_path, "abab")
    vocab, merges = train_bpe(path, 6, ["<|end|>"], initial_alphabet=b"z")
    assert list(vocab.values()) == [b"<|end|>", b"a", b"b", b"z", b"ab", b"abab"]
    assert merges == [(b"a", b"b"), (b"ab", b"ab")]


def test_progress_of_both_stages_is_reported(prose: Path):
    reports: list[tuple[str, int, int]] = []
    times: list[float] = []

    def progress(stage: str, done: int, total: int) -> None:
        reports.append((stage, done, total))
        times.append(time.monotonic())

    train_bpe(prose, 2000, SPECIAL, progress=progress)
    merges = 2000 - 256 - len(SPECIAL)
    assert reports[-1] == ("merge", merges, merges)
    assert all(done <= total for _, done, total in reports)
    assert all(times[k + 10] - times[k] > 0.9 for k in range(len(times) - 10))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"tie_break": "none"}, "tie_break must be 'bytes' or 'huggingface', got 'none'"),
        ({"on_interrupt": "none"}, "on_interrupt must be 'raise' or 'return', got 'none'"),
        ({"min_frequency": -1}, "min_frequency must be at least 0"),
        ({"max_token_bytes": 0}, "max_token_bytes must be at least 1"),
        ({"max_pretoken_bytes": 3}, "max_pretoken_bytes must be at least 4, got 3"),
        ({"pattern": "("}, "pattern"),
    ],
)
def test_options_out_of_range_are_value_errors(
    tmp_path: Path, option: dict[str, object], message: str
):
    with pytest.raises(ValueError, match=message):
        train_bpe(write(tmp_path, "a"), 300, [], **option)  # pyright: ignore


def test_a_long_run_of_one_letter_is_no_trouble(tmp_path: Path):
    (path,) = write(tmp_path, "a" * 5_000_000)
    vocab, merges = train_bpe(path, 300, [])
    assert merges[:2] == [(b"a", b"a"), (b"aa", b"aa")]
    assert len(vocab[256 + 21]) == 2**22


def test_training_works_after_a_fork(tmp_path: Path):
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    (path,) = write(tmp_path, "low lower")
    before = train_bpe(path, 300, [], num_threads=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest's own threads, from 3.12 on
        child = os.fork()
    if child == 0:
        os._exit(0 if train_bpe(path, 300, [], num_threads=2) == before else 1)
    assert os.waitpid(child, 0)[1] == 0
