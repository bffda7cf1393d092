"""Parity: our pretokens are those the `regex` package finds. Property: on random Unicode too."""

import itertools
import sys

import pytest
import regex
from bpe_rs import GPT2_PATTERN, pretokenize
from hypothesis import given, settings
from hypothesis import strategies as st

PATTERN = regex.compile(GPT2_PATTERN)
# At least one of each class, of each length in UTF-8, and all that contractions are made of.
REPRESENTATIVES = "aéß中\U0001d4b31½٣!€🤗\u0301_ \n\r\t\x85\xa0\u2028\u3000\0\x1c'sdmtlver"
CODE_POINTS = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]


@pytest.mark.parametrize("neighbour", ["a", "1", "!", " ", "\u3000"])
def test_every_code_point_beside_every_class_is_cut_as_regex_cuts(neighbour):
    text = neighbour.join(CODE_POINTS)
    assert pretokenize(text) == PATTERN.findall(text)


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_all_short_texts_of_representatives_are_cut_as_regex_cuts(length):
    for characters in itertools.product(REPRESENTATIVES, repeat=length):
        text = "".join(characters)
        assert pretokenize(text) == PATTERN.findall(text)


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_random_unicode_is_cut_as_regex_cuts(text):
    assert pretokenize(text) == PATTERN.findall(text)


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet=REPRESENTATIVES, max_size=40))
def test_random_mixtures_of_classes_are_cut_as_regex_cuts(text):
    assert pretokenize(text) == PATTERN.findall(text)


@pytest.mark.parametrize(
    ("text", "special_tokens", "expected"),
    [
        ("a <|x|> b", ["<|x|>"], ["a", " ", "<|x|>", " b"]),
        ("<|x|><|x|>", ["<|x|>", "<|x|><|x|>"], ["<|x|><|x|>"]),
        ("abc", ["bc", "ab", "a"], ["ab", "c"]),
        ("abc", [], ["abc"]),
        ("", ["a"], []),
        ("a\n\nb", ["\n"], ["a", "\n", "\n", "b"]),
    ],
)
def test_the_leftmost_then_the_longest_special_token_is_a_pretoken(text, special_tokens, expected):
    assert pretokenize(text, special_tokens) == expected


@pytest.mark.parametrize(
    ("text", "special_tokens", "message"),
    [
        ("ab\ud800", [], "character 2 is a lone surrogate"),
        ("a", ["x\udfff"], "character 1 is a lone surrogate"),
        ("a", ["x", ""], "special token 1 is empty"),
        ("a", ["x", "x"], '"x" is given twice'),
    ],
)
def test_what_cannot_be_cut_is_a_value_error(text, special_tokens, message):
    with pytest.raises(ValueError, match=message):
        pretokenize(text, special_tokens)
