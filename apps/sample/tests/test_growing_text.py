"""Text as it comes. Property: pieces join to the text, which ends where it is told to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample.growing_text import GrowingText
from tok import Tokenizer

TOKENIZER = Tokenizer({i: bytes([i]) for i in range(256)} | {256: b"<|end|>"}, [], ["<|end|>"])
TEXT = st.text(alphabet="ab\né", max_size=12)


def cut_at_a_stop(text, stops):
    """The definition: as soon as a stop is whole, what stands before the one that begins first."""
    for end in range(len(text) + 1):
        begins = [text[:end].index(stop) for stop in stops if stop in text[:end]]
        if begins:
            return text[: min(begins)]
    return text


@given(prompt=TEXT, new=TEXT, stop=st.lists(st.text("ab\né", min_size=1, max_size=3), max_size=2))
def test_pieces_join_to_the_text_cut_at_the_first_stop(prompt, new, stop):
    text = GrowingText(TOKENIZER, prompt, end_token=256, stop=stop)
    pieces = [text.feed(byte) for byte in new.encode()] + [text.finish()]
    begin = prompt.lstrip("\n")
    expected = begin + cut_at_a_stop(new if begin else new.lstrip("\n"), stop)
    assert text.text == "".join(pieces) == expected.rstrip("\n")


def test_the_end_token_ends_a_text():
    text = GrowingText(TOKENIZER, "a", end_token=256)
    assert [text.feed(token_id) for token_id in (98, 256, 98)] == ["ab", "", ""]
    assert text.has_ended


def test_an_empty_stop_is_refused():
    with pytest.raises(ValueError, match="at least one character"):
        GrowingText(TOKENIZER, "a", stop=["b", ""])
