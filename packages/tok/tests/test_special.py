"""`allowed_special`, `disallowed_special`. Parity: tiktoken. Table: errors."""

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tok import GPT2_PATTERN, Tokenizer

BYTES = {token_id: bytes([token_id]) for token_id in range(256)}
SPECIAL_TOKENS = {"<a>": 256, "<b>": 257, "<c>": 258}
OURS = Tokenizer(BYTES, [], list(SPECIAL_TOKENS))
THEIRS = tiktoken.Encoding(
    "bytes",
    pat_str=GPT2_PATTERN,
    mergeable_ranks={token: token_id for token_id, token in BYTES.items()},
    special_tokens=SPECIAL_TOKENS,
)
NAMES = st.sampled_from(list(SPECIAL_TOKENS))
CHOICES = st.just("all") | st.sets(NAMES)


def outcome(encode, text, **choice):
    """The ids, or that it was refused."""
    try:
        return encode(text, **choice)
    except ValueError:
        return "refused"


@given(
    text=st.lists(NAMES | st.sampled_from(["x", " <", "a>"])).map("".join),
    choice=st.fixed_dictionaries(
        {}, optional={"allowed_special": CHOICES, "disallowed_special": CHOICES}
    ).filter(bool),
)
def test_any_choice_gives_what_tiktoken_gives(text, choice):
    ours = outcome(OURS.encode, text, **choice)
    theirs = outcome(THEIRS.encode, text, **choice)
    assert ours == theirs


def test_with_no_choice_all_are_recognised():
    assert OURS.encode("x<a><c>") == [120, 256, 258]


@pytest.mark.parametrize(
    "choice",
    [
        {"disallowed_special": "all"},
        {"allowed_special": set()},
        {"allowed_special": {"<a>"}},
        {"allowed_special": "all", "disallowed_special": {"<b>"}},
    ],
)
def test_a_stray_special_token_is_refused_with_the_ways_out(choice):
    with pytest.raises(ValueError, match=r"'<b>' at character 4") as error:
        OURS.encode("x <a<b><c>", **choice)
    assert "allowed_special={'<b>', ...}" in str(error.value)
    assert "disallowed_special=()" in str(error.value)


@pytest.mark.parametrize("argument", ["allowed_special", "disallowed_special"])
def test_one_string_is_no_set_of_special_tokens(argument):
    with pytest.raises(ValueError, match=argument):
        OURS.encode("x", **{argument: "<a>"})


def test_allowing_what_is_no_special_token_is_refused():
    with pytest.raises(KeyError, match="<d>"):
        OURS.encode("x", allowed_special={"<d>"})
