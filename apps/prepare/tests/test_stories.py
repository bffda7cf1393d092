"""The stories: one derivation each, exact entropy (property); agreement and size (table)."""

import itertools
import math
import re
import statistics
from random import Random

import pytest
from prepare.stories import STORIES, Grammar, tell_stories
from prepare.stories.grammar import Choice, Mention, Text
from prepare.stories.lexicon import WORDS
from prepare.stories.plots import PLOTS

STORIES_TOLD = list(itertools.islice(tell_stories("tests"), 4000))


def parts(sequence):
    """Every part of a parsed template, those inside choices too."""
    for part in sequence:
        yield part
        if isinstance(part, Choice):
            for alternative in part.alternatives:
                yield from parts(alternative)


def test_a_story_has_one_derivation_and_its_probability():
    for story in STORIES_TOLD[:500]:
        [nats] = STORIES.derivations(story.text)
        assert nats == pytest.approx(story.nats, rel=1e-12)


def test_no_alternative_begins_another():
    random = Random(0)
    bindings = {
        part.variable: random.choice(WORDS[part.kind])
        for part in parts(STORIES._start)
        if isinstance(part, Mention)
    }
    for choice in parts(STORIES._start):
        if isinstance(choice, Choice):
            texts = [told(alternative, bindings, random) for alternative in choice.alternatives]
            for one, other in itertools.permutations(texts, 2):
                assert not other.startswith(one), (one, other)


def told(sequence, bindings, random):
    pieces = []
    STORIES._expand(sequence, random, bindings, pieces)
    return "".join(pieces)


@pytest.mark.parametrize("kind", WORDS)
def test_no_word_begins_another_of_its_kind(kind):
    forms = {part.form for part in parts(STORIES._start) if isinstance(part, Mention)} & WORDS[
        kind
    ][0].keys()
    for form in forms - {"he", "He", "him", "his", "His", "child"}:  # never a first mention
        words = [word[form] for word in WORDS[kind]]
        for one, other in itertools.permutations(words, 2):
            assert not other.startswith(one), (one, other)


def test_the_entropy_is_the_mean_surprise():
    nats = [story.nats for story in STORIES_TOLD]
    standard_error = statistics.stdev(nats) / math.sqrt(len(nats))
    assert statistics.mean(nats) == pytest.approx(STORIES.entropy(), abs=4 * standard_error)


def test_the_entropy_of_a_small_grammar_is_as_computed_by_hand():
    words = {"x": [{"": letter} for letter in "pqr"]}
    grammar = Grammar("[a|b{x}]<again>", {"again": "{x}{x}{x2}"}, words)
    # ln 2 for the choice; half the time ln 3 within it; then ln 3 for x and ln 2 for x2.
    assert grammar.entropy() == pytest.approx(
        1.5 * math.log(2) + 1.5 * math.log(3) + math.log(2) / 2
    )
    assert len(grammar.derivations("bpqqr")) == 1
    assert grammar.derivations("appp") == []  # x2 is another letter than x


def test_a_variable_of_one_alternative_ends_with_the_choice():
    words = {"x": [{"": letter} for letter in "pqr"]}
    grammar = Grammar("[a|b{x}]{x}", {}, words)
    assert len(grammar.derivations("bpq")) == 1
    assert grammar.entropy() == pytest.approx(math.log(2) + 1.5 * math.log(3))


def test_no_plot_mentions_a_variable_after_the_choice_it_ended_with():
    def check(sequence, ended):
        for part in sequence:
            if isinstance(part, Mention):
                assert part.variable not in ended, part
            elif isinstance(part, Choice):
                inside = set()
                for alternative in part.alternatives:
                    check(alternative, ended)
                    inside |= {p.variable for p in parts(alternative) if isinstance(p, Mention)}
                ended = ended | (inside - part.variables - bound)
            if not isinstance(part, Text):
                bound.update(part.variables if isinstance(part, Choice) else {part.variable})

    [plots] = STORIES._start
    for plot in plots.alternatives:
        bound: set[str] = set()
        check(plot, frozenset())


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [(r"\b[Ss]he\b", "he"), (r"\bhis\b", "her"), (r"\ba\b", "an"), (r"\bthe (\w+)", r"the x\1")],
)
def test_a_text_that_disagrees_is_no_story(pattern, replacement):
    found = 0
    for story in STORIES_TOLD[:100]:
        wrong = re.sub(pattern, replacement, story.text, count=1)
        if wrong != story.text:
            found += 1
            assert STORIES.derivations(wrong) == []
    assert found > 20


def test_there_are_enough_words_plots_and_names_to_judge_by():
    words = set(re.findall(r"[a-z]+", " ".join(story.text for story in STORIES_TOLD)))
    assert len(words) > 600
    assert len(PLOTS) >= 12
    assert len(WORDS["hero"]) >= 10
    assert sum('"' in story.text for story in STORIES_TOLD) > 0.99 * len(STORIES_TOLD)


def test_equal_seeds_tell_equal_stories():
    one, other = (list(itertools.islice(tell_stories(3), 20)) for _ in range(2))
    assert one == other
    assert one[0] != next(tell_stories(4))


@pytest.mark.parametrize(
    ("template", "message"),
    [("[a|b", "without its `]`"), ("a]", "without its `[`"), ("{y}", "{y}"), ("<y>", "<y>")],
)
def test_a_template_with_a_broken_mark_is_refused(template, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Grammar(template, {}, {"x": [{"": "x"}]})
