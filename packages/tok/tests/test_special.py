"""Special tokens by choice and by span. Parity: tiktoken. Property: no way in. Table: errors."""

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


@given(
    text=st.lists(NAMES | st.sampled_from(["x", " <", "a>", "é"])).map("".join),
    choice=st.fixed_dictionaries(
        {}, optional={"allowed_special": CHOICES, "disallowed_special": CHOICES}
    ),
)
def test_every_way_to_encode_makes_the_same_choice(text, choice):
    ids = outcome(OURS.encode, text, **choice)
    assert ids == outcome(lambda *a, **k: OURS.encode_to_numpy(*a, **k).tolist(), text, **choice)
    assert ids == outcome(lambda *a, **k: OURS.encode_with_offsets(*a, **k)[0], text, **choice)
    batch = outcome(lambda *a, **k: OURS.encode_batch([*a, *a], **k), text, **choice)
    count = outcome(OURS.count, text, **choice)
    assert (batch, count) == ("refused",) * 2 if ids == "refused" else ([ids, ids], len(ids))


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


def test_sets_made_up_anew_for_each_call_do_not_fill_memory():
    for number in range(1_000):
        assert OURS.encode("x", disallowed_special={f"<{number}>"}) == [120]
    assert len(OURS._choices._made) <= 256


def test_allowing_what_is_no_special_token_is_refused():
    with pytest.raises(KeyError, match="<d>"):
        OURS.encode("x", allowed_special={"<d>"})


SPANS = st.lists(
    st.tuples(
        st.lists(NAMES | st.sampled_from(["x", "<", "<a", "a>", ">", " ", "é"])).map("".join),
        st.booleans(),
    )
)


@given(spans=SPANS)
def test_special_tokens_are_those_of_the_trusted_spans_and_no_others(spans):
    ids = OURS.encode_spans(spans)
    assert OURS.decode(ids) == "".join(text for text, _ in spans)
    in_trusted = [OURS.encode(text) for text, is_trusted in spans if is_trusted]
    expected = [token_id for one in in_trusted for token_id in one if token_id >= 256]
    assert [token_id for token_id in ids if token_id >= 256] == expected


@given(data=st.data())
def test_one_trusted_span_is_a_text_and_one_untrusted_span_is_plain_text(small, texts, data):
    text = data.draw(texts)
    assert small.encode_spans([(text, True)]) == small.encode(text)
    assert small.encode_spans([(text, False)]) == small.encode(text, disallowed_special=())


@given(data=st.data())
def test_plain_text_runs_on_across_borders(small, texts, data):
    spans = data.draw(st.lists(st.tuples(texts, st.booleans())))
    plain = [(text.replace("<", ""), is_trusted) for text, is_trusted in spans]
    joined = "".join(text for text, _ in plain)
    assert small.encode_spans(plain) == small.encode(joined)


@pytest.mark.parametrize(
    ("spans", "ids"),
    [
        ([], []),
        ([("", True), ("", False)], []),
        ([("<a>", True), ("<a>", False), ("<a>", True)], [256, *b"<a>", 256]),
        # Halves that only a border's two sides make whole, in every mixture of trust.
        ([("<", True), ("a>", True)], [*b"<a>"]),
        ([("<", False), ("a>", True)], [*b"<a>"]),
        ([("<", True), ("a>", False)], [*b"<a>"]),
        ([("<a", False), (">", False)], [*b"<a>"]),
        ([("<a><", True), ("b>", False), ("<c>", True)], [256, *b"<b>", 258]),
    ],
)
def test_no_special_token_stands_across_a_border(spans, ids):
    assert OURS.encode_spans(spans) == ids


def test_merges_that_make_a_special_token_of_plain_text_are_found_out():
    vocab = BYTES | {256: b"ab", 257: b"abc"}
    tokenizer = Tokenizer(vocab, [(b"a", b"b"), (b"ab", b"c")], ["abc", "z"])
    assert tokenizer.encode("abc", disallowed_special=()) == [257]
    assert tokenizer.encode_spans([("abc", True), (" harmless", False)])[0] == 257
    for text in ("abc", "x z"):
        with pytest.raises(ValueError, match=r"special token '(abc|z)' of plain text"):
            tokenizer.encode_spans([("abc", True), (text, False)])


def test_a_lone_surrogate_is_named_with_its_span():
    with pytest.raises(ValueError, match="character 2 of span 1 is a lone surrogate"):
        OURS.encode_spans([("<a>", True), ("xy\udc00", False)])
    with pytest.raises(ValueError, match="character 5 is a lone surrogate"):
        OURS.encode("xy<a>\udc00", allowed_special={"<a>"})
