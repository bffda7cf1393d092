"""What may come next. Parity: with the whole text's logits and trainkit's own distribution."""

import pytest
import torch
from sample.run import load_run
from sample.web.next_tokens import NextToken, next_tokens, next_tokens_html, percent
from trainkit import Sampling, next_token_probs

CUT = Sampling(temperature=0.7, top_k=5, repetition_penalty=1.3)


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    return load_run(make_run(tmp_path_factory.mktemp("run")), torch.device("cpu"))


@pytest.mark.parametrize("sampling", [Sampling(), CUT, Sampling(temperature=0.0)])
def test_both_probabilities_are_those_of_the_definition(run, sampling):
    token_ids = run.tokenizer.encode("the one on the")
    with torch.no_grad():
        logits = run.model(torch.tensor([token_ids]))[0, -1]
    seen = torch.tensor([i in token_ids for i in range(len(logits))])
    own, drawn = logits.softmax(0), next_token_probs(logits, sampling, seen)
    ours = next_tokens(run.model, token_ids, sampling, count=len(logits))
    assert [token.token_id for token in ours] == own.argsort(descending=True).tolist()
    for token in ours:
        # fp32 both, and the same operations: only the batch's shape could differ
        assert token.prob == pytest.approx(float(own[token.token_id]), rel=1e-6)
        assert token.drawn_prob == pytest.approx(float(drawn[token.token_id]), rel=1e-6)


def test_a_token_of_the_text_is_there_whatever_its_rank(run):
    token_ids = run.tokenizer.encode("the")
    last = next_tokens(run.model, token_ids, Sampling(), count=run.tokenizer.vocab_size)[-1]
    few = next_tokens(run.model, token_ids, Sampling(), count=3, actual=last.token_id)
    assert [token.rank for token in few] == [1, 2, 3, run.tokenizer.vocab_size]
    assert few[-1] == last


def test_of_a_long_text_the_last_context_is_seen(run):
    long = run.tokenizer.encode("a" * 100)
    context = run.model.config.context_length
    assert next_tokens(run.model, long, Sampling()) == next_tokens(
        run.model, long[-context:], Sampling()
    )


def test_nothing_is_expected_after_nothing(run):
    with pytest.raises(ValueError, match="nothing comes before"):
        next_tokens(run.model, [], Sampling())


def test_bars_are_as_long_as_probabilities_and_the_actual_token_is_marked(run):
    the, on = run.tokenizer.encode("theon")
    tokens = [NextToken(1, the, 0.75, 1.0), NextToken(2, on, 0.25, 0.0)]
    html = next_tokens_html(run.tokenizer, tokens, actual=on)
    assert html.count("<tr") == 3
    assert '<i class="own" style="width: 75.00%"></i>' in html
    assert '<i class="drawn" style="width: 0.00%"></i>' in html
    assert html.index(">the<") < html.index('<tr class="actual">') < html.index(">on<")


@pytest.mark.parametrize(
    ("prob", "text"),
    [
        (0, "\u2013"),
        (1e-9, "< 0.01 %"),
        (0.0027, "0.27 %"),
        (0.041, "4.1 %"),
        (0.0996, "10 %"),
        (0.384, "38 %"),
        (1, "100 %"),
    ],
)
def test_a_probability_is_written_with_the_digits_that_count(prob, text):
    assert percent(prob).replace("\u202f", " ") == text
