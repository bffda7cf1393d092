r"""A text as coloured tokens. Property: what is shown is the text, and none of it is markup."""

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st
from sample.web.tokens import describe, tokens_html
from sample.writing import prompt_ids
from tok import Tokenizer, visible

END = "<|endoftext|>"
TOKENIZER = Tokenizer({0: END.encode()} | {1 + i: bytes([i]) for i in range(256)}, [], [END])
SPAN = re.compile(
    r'<span class="(?P<classes>[^"]*)" data-place="(\d+)"[^>]*>(?P<text>[^<]*)</span>'
)


def spans(html):
    return list(SPAN.finditer(html.split("</div>")[0]))


@given(st.text(st.characters(codec="utf-8")))
def test_the_spans_hold_each_token_as_it_is_made_visible(text):
    token_ids = TOKENIZER.encode_spans([(text, False)])
    shown = [unescape(span["text"]) for span in spans(tokens_html(TOKENIZER, token_ids, 0))]
    assert shown == [visible(TOKENIZER.token_bytes(i)) for i in token_ids] + ["\u2009"]


def test_what_one_types_is_no_markup():
    html = tokens_html(TOKENIZER, TOKENIZER.encode("<b>\"'&"), 0)
    assert "<b>" not in html
    assert [unescape(span["text"]) for span in spans(html)][:3] == ["<", "b", ">"]


def test_only_the_documents_beginning_is_a_special_token():
    html = tokens_html(TOKENIZER, prompt_ids(TOKENIZER, END), 0)
    assert [span["classes"].split()[1] for span in spans(html)].count("special") == 1
    assert "special" in spans(html)[0]["classes"]


def test_the_place_that_is_looked_at_is_marked_and_told_of():
    html = tokens_html(TOKENIZER, TOKENIZER.encode("ab"), 1)
    assert ["chosen" in span["classes"] for span in spans(html)] == [False, True, False]
    assert html.endswith('<p class="detail">token 1 · id 99 · bytes 62</p>')


def test_a_token_is_described_by_its_number_its_id_and_its_bytes():
    token_ids = TOKENIZER.encode("é")
    assert describe(TOKENIZER, token_ids, 0) == "token 0 · id 196 · bytes c3"
    assert describe(TOKENIZER, token_ids, 2) == "2 tokens; the next one is still to come"
