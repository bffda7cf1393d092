"""Parity: the pretokens of every pattern are those the `regex` package finds. Property: on random
Unicode too. What a pattern does not match is a pretoken as well; what goes wrong says where."""

import itertools
import sys

import pytest
import regex
import tiktoken_ext.openai_public as openai_public
from bpe_rs import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    LLAMA3_PATTERN,
    O200K_PATTERN,
    QWEN2_PATTERN,
    pretokenize,
)
from hypothesis import given, settings
from hypothesis import strategies as st

PATTERNS = {
    "gpt2": GPT2_PATTERN,
    "cl100k": CL100K_PATTERN,
    "llama3": LLAMA3_PATTERN,
    "qwen2": QWEN2_PATTERN,
    "o200k": O200K_PATTERN,
}
REGEXES = {name: regex.compile(pattern) for name, pattern in PATTERNS.items()}
# Capitals, small letters, letters without case, marks, numbers, signs and white space, in each
# length of UTF-8, and all that the patterns name by itself.
REPRESENTATIVES = (
    "AÉǅႠ\U00010400aéᴀ\U00010428ªʰ中\U00020000\u0301\u20d0\U000e0100"
    "1½٣\U0001d7d8 \t\x85\xa0\u3000\n\r!/\0\x1c€🤗'sS\u017fdmtlver"
)
FEW = "Aa中\u03011 \t\u3000\n!/'s\u017fle"  # one of each that can make a difference
CODE_POINTS = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]

every_pattern = pytest.mark.parametrize("name", PATTERNS)


def ours(name: str, text: str) -> list[str]:
    """What `pretokenize` finds by the pattern of this name."""
    return pretokenize(text, pattern=PATTERNS[name])


NEIGHBOURS = dict.fromkeys(PATTERNS, "Aa中\u03011!' \u3000\n")
# Half a second each: these two differ from cl100k's in what becomes of numbers and white space.
NEIGHBOURS |= {"llama3": "1 \n", "qwen2": "1 \n"}


@pytest.mark.parametrize(
    ("name", "neighbour"),
    [(name, neighbour) for name in PATTERNS for neighbour in NEIGHBOURS[name]],
)
def test_every_code_point_beside_every_class_is_cut_as_regex_cuts(name, neighbour):
    text = neighbour.join(CODE_POINTS)
    assert ours(name, text) == REGEXES[name].findall(text)


@every_pattern
@pytest.mark.parametrize(
    ("characters", "length"),
    [
        (REPRESENTATIVES, 0),
        (REPRESENTATIVES, 1),
        (REPRESENTATIVES, 2),
        (REPRESENTATIVES, 3),
        (FEW, 4),
    ],
)
def test_all_short_texts_of_representatives_are_cut_as_regex_cuts(name, characters, length):
    for drawn in itertools.product(characters, repeat=length):
        text = "".join(drawn)
        assert ours(name, text) == REGEXES[name].findall(text)


@every_pattern
@settings(deadline=None)  # the machine may be busy
@given(text=st.text())
def test_random_unicode_is_cut_as_regex_cuts(name, text):
    assert ours(name, text) == REGEXES[name].findall(text)


@every_pattern
@settings(deadline=None)  # the machine may be busy
@given(text=st.text(alphabet=REPRESENTATIVES, max_size=40))
def test_random_mixtures_of_classes_are_cut_as_regex_cuts(name, text):
    assert ours(name, text) == REGEXES[name].findall(text)


@pytest.mark.parametrize(("name", "encoding"), [("cl100k", "cl100k_base"), ("o200k", "o200k_base")])
def test_the_patterns_are_those_that_tiktoken_publishes(monkeypatch, name, encoding):
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_args, **_options: {})
    assert getattr(openai_public, encoding)()["pat_str"] == PATTERNS[name]


@settings(deadline=None)  # the machine may be busy
@given(text=st.text(alphabet=REPRESENTATIVES, max_size=40))
def test_tiktokens_spelling_of_gpt2s_pattern_cuts_as_ours(text):
    theirs = regex.findall(openai_public.r50k_pat_str, text)
    assert ours("gpt2", text) == theirs
    assert pretokenize(text, pattern=openai_public.r50k_pat_str) == theirs


@every_pattern
def test_no_pretoken_crosses_a_special_token(name):
    text = "It's  <|x|>\n  <|x|>a'll"
    pieces = [REGEXES[name].findall(piece) for piece in ("It's  ", "\n  ", "a'll")]
    expected = [*pieces[0], "<|x|>", *pieces[1], "<|x|>", *pieces[2]]
    assert pretokenize(text, ["<|x|>"], pattern=PATTERNS[name]) == expected


@settings(deadline=None)  # the machine may be busy
@given(text=st.text(alphabet="aAb1 \n!é中", max_size=30))
@pytest.mark.parametrize(
    "pattern",
    [r"\p{L}+", r"\s+(?!\S)", r"a*", r"[ab]{2,3}?|\d", r"(?i:A)+|(?<=b)\s|", r"(\w)\1", r"(?>a+)b"],
)
def test_any_other_pattern_finds_what_regex_finds_and_drops_nothing(pattern, text):
    expected, at = [], 0
    for match in filter(lambda match: match[0], regex.finditer(pattern, text)):
        expected += [text[at : match.start()], match[0]]
        at = match.end()
    expected.append(text[at:])
    assert pretokenize(text, pattern=pattern) == [piece for piece in expected if piece]


@pytest.mark.parametrize(
    ("pattern", "text", "message"),
    [
        ("a(b", "", r'pattern "a\(b" cannot be used: .*\(byte 3\); correct it'),
        ("(?=a)", "", "it can match no character; correct it"),
        (r"(a*)*\1b|\d", "12" + "a" * 30, r'from byte 2 on, at "a{30}".*make the pattern'),
    ],
)
def test_a_pattern_that_cannot_be_used_is_a_value_error(pattern, text, message):
    with pytest.raises(ValueError, match=message):
        pretokenize(text, pattern=pattern)
