"""Short English stories from a grammar: a source of text whose entropy is known.

A language model's loss on ordinary text has no right answer; here it has one. The grammar of
`prepare.stories.grammar` gives every story exactly one derivation, so the story's probability,
and with it the entropy of the source, is exact: no model can do better in expectation, and the
gap of one that was trained is what it has not learned.
"""

from collections.abc import Iterator
from random import Random

from prepare.stories.grammar import Grammar, Story
from prepare.stories.lexicon import WORDS
from prepare.stories.plots import RULES, START

__all__ = ["STORIES", "Grammar", "Story", "tell_stories"]

STORIES = Grammar(START, RULES, WORDS)


def tell_stories(seed: int | str) -> Iterator[Story]:
    """Tells stories without end; equal seeds tell equal stories, on every machine."""
    random = Random(seed)
    while True:
        yield STORIES.tell(random)
