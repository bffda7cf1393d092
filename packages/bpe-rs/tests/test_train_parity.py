"""Parity: with `tie_break="huggingface"`, our merges are those of Hugging Face's `BpeTrainer`.

Table: texts that trainers stumble over. Property: random ones. Then the shared corpora.

What makes the two comparable: theirs gets the pieces between special tokens, which it does not cut
out itself; and room for as many merges, since without an `initial_alphabet` its vocabulary starts
with the bytes that occur, not with all 256. Both give a byte its id in the order of GPT-2's visible
characters, and that settles ties.
"""

import itertools
import json
import os
import random
import unicodedata
from pathlib import Path

import pytest
import regex
from bpe_rs import train_bpe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

Merges = list[tuple[bytes, bytes]]

END = "<|endoftext|>"
SPECIAL = [END, "<|end", END + END]
CUT = regex.compile("|".join(map(regex.escape, sorted(SPECIAL, key=len, reverse=True))))
ALL = 10_000  # more merges than there are pairs in any text of the table


def visible_bytes() -> dict[str, int]:
    """The bytes that GPT-2's visible characters stand for."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(visible))
    return {chr(byte): byte for byte in visible} | {chr(256 + n): b for n, b in enumerate(others)}


VISIBLE = visible_bytes()


def train_theirs(texts: list[str], limit: int, *, all_bytes: bool = True) -> Merges:
    pieces = [piece for text in texts for piece in CUT.split(text)]
    known = 256 if all_bytes else len(set("".join(pieces).encode()))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=len(SPECIAL) + known + limit,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if all_bytes else [],
        show_progress=False,
    )
    tokenizer.train_from_iterator(pieces, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(as_bytes(left), as_bytes(right)) for left, right in merges]


def as_bytes(token: str) -> bytes:
    return bytes(VISIBLE[character] for character in token)


def train_ours(directory: Path, texts: list[str], limit: int) -> Merges:
    """Each text is a file of its own."""
    paths = [directory / f"{index}.txt" for index in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode())
    vocab_size = len(SPECIAL) + 256 + limit
    _, merges = train_bpe(paths, vocab_size, SPECIAL, tie_break="huggingface")
    return merges


def letters(alphabet: str, length: int) -> str:
    return "".join(random.Random(0).choices(alphabet, k=length))


HANGUL = "안녕하세요 세계 여러분, 한글은 아름답습니다 "
FAMILIES = "👩\u200d👩\u200d👧\u200d👦 👨🏽\u200d💻👩🏽\u200d💻 🏳️\u200d🌈🏴\u200d☠️ 🇩🇪🇫🇷🇩🇪 "
MARKS = "e\u0301e\u0323\u0301 a\u0308\u0308\u0308 \u0301\u0301 n\u0303 दे\u200dव\u0947 ก็ ที่ "
SPACES = "a b  c   d\t\te\u00a0\u00a0f\u2003\u2003 g\u3000h\u2028\u2028i\u0085 \n j"

TEXTS = {
    "one character": ["a" * 20_001],
    "runs of one character of all lengths": [" ".join("a" * n for n in range(1, 90))],
    "runs of two characters": ["".join("a" * n + "b" * n for n in range(1, 60))],
    "two letters in every way": [" ".join(map("".join, itertools.product("ab", repeat=7)))],
    "every pair once, so all are ties": [
        " ".join(map("".join, itertools.permutations("zaZAé!", 2)))
    ],
    "no spaces": [letters("abcdefgh", 5_000)],
    "no spaces, no ASCII": [letters("王様息子漢字かなカナ", 2_000)],
    "only spaces": [" " * 3_000, "\n" * 500, " \n" * 300],
    "spaces of all kinds": [SPACES * 20, SPACES[::-1] * 20],
    "CRLF": ["one\r\ntwo\r\n\r\nthree \r\n\r\n\r\n  four\r\r\n\n" * 30],
    "contractions": ["I'll we've 'tis it's 'S don't '''t ''re y'all'd've " * 10],
    "emoji with joiners": [FAMILIES * 20, FAMILIES.replace(" ", "") * 20],
    "Hangul": [HANGUL * 10],
    "Hangul in parts": [unicodedata.normalize("NFD", HANGUL) * 10],
    "combining marks": [MARKS * 20, "o" + "\u0301" * 1_000],
    "every byte that UTF-8 has": [
        "".join(map(chr, range(0x250))),
        "߿ࠀ\uffff\U00010000\U0010ffff" * 3,
    ],
    "zero bytes": ["\0\0\0a\0 \0\0" * 50],
    "empty documents": ["", "ab ab", "", END + END + END, "\n", f"{END}ab{END}{END}{END}b{END}"],
    "special tokens in parts": [f"<|end<|endof{END}text|> <|en d|>{END[1:]}{END[:-1]}" * 20],
    "texts whose ends would join": ["ab", "ab", " c", "  ", "  d"],
}


@pytest.mark.parametrize("all_bytes", [True, False])
@pytest.mark.parametrize("name", TEXTS)
def test_all_merges_are_those_of_tokenizers(tmp_path: Path, name: str, all_bytes: bool):
    theirs = train_theirs(TEXTS[name], ALL, all_bytes=all_bytes)
    assert 0 < len(theirs) < ALL
    assert train_ours(tmp_path, TEXTS[name], ALL) == theirs


def test_special_tokens_alone_teach_nothing(tmp_path: Path):
    texts = [END, END + END + END, "<|end"]
    assert train_theirs(texts, ALL) == []
    with pytest.raises(ValueError, match="no text to learn from"):
        train_ours(tmp_path, texts, ALL)


# Characters of every script in ranges that have been full for long: what a code point is to the
# pattern depends on the version of Unicode, and theirs need not have ours.
CHARACTERS = st.one_of(
    st.sampled_from("aaabbé \n\r\t'sdlmtver12.!<|>"),
    st.sampled_from(HANGUL + FAMILIES + MARKS + SPACES),
    st.characters(max_codepoint=0x24F),
)
PIECES = st.one_of(CHARACTERS, st.sampled_from([*SPECIAL, END[5:], "aaaa", "ab", "\r\n", "'ll"]))
DOCUMENTS = st.lists(st.lists(PIECES, max_size=50).map("".join), max_size=4)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=DOCUMENTS, limit=st.integers(0, 40), all_bytes=st.booleans())
def test_merges_of_random_texts_are_those_of_tokenizers(
    tmp_path: Path, texts: list[str], limit: int, all_bytes: bool
):
    texts = ["a", *texts]  # no text at all is an error of ours
    assert train_ours(tmp_path, texts, limit) == train_theirs(texts, limit, all_bytes=all_bytes)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text("abc ", min_size=1, max_size=300))
def test_ties_and_overlaps_of_few_letters_are_settled_as_tokenizers_does(tmp_path: Path, text: str):
    assert train_ours(tmp_path, [text], ALL) == train_theirs([text], ALL)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    beside = Path(__file__).parents[4] / "shared" / "data"
    path = Path(os.environ.get("GROUNDUP_DATA") or beside)
    if not path.is_dir():
        pytest.skip("the corpora of ../shared/data, beside the repository, are not on this machine")
    return path


@pytest.mark.parametrize(
    ("corpus", "size", "limit"),
    [
        ("tales-train.txt", 13_000_000, 5_000),
        ("tales-valid.txt", 700_000, 2_000),
        ("web-20m.txt", 3_000_000, 3_000),
        ("code-20m.txt", 5_000_000, 5_000),
    ],
)
def test_merges_of_the_shared_corpora_are_those_of_tokenizers(
    shared_data: Path, tmp_path: Path, corpus: str, size: int, limit: int
):
    text = (shared_data / corpus).read_bytes()[:size].decode(errors="ignore")
    theirs = train_theirs([text], limit)
    assert len(theirs) == limit
    assert train_ours(tmp_path, [text], limit) == theirs


def test_the_two_rules_settle_ties_each_in_its_way(tmp_path: Path):
    path = tmp_path / "text.txt"
    path.write_bytes("ab é".encode())
    # A space is the smaller byte, but "Ġ", the character it is seen as, comes after "Ã" for 0xc3.
    as_theirs = [(b"a", b"b"), (b"\xc3", b"\xa9"), (b" ", b"\xc3\xa9")]
    by_bytes = [(b"\xc3", b"\xa9"), (b"a", b"b"), (b" ", b"\xc3\xa9")]
    assert train_bpe(path, 400, [], tie_break="huggingface")[1] == as_theirs
    assert train_bpe(path, 400, [], tie_break="bytes")[1] == by_bytes
    assert train_bpe(path, 400, [])[1] == by_bytes


def test_an_unknown_rule_is_a_value_error(tmp_path: Path):
    path = tmp_path / "text.txt"
    path.write_text("ab")
    with pytest.raises(ValueError, match="tie_break"):
        train_bpe(path, 300, [], tie_break="first")  # pyright: ignore[reportArgumentType]
