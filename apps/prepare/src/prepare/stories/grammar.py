"""A small language for stories whose every text has one derivation and one probability.

A template is prose with three marks:

    [a|b|c]       a choice: each alternative with equal probability
    {thing}       a mention: the first draws a word of the kind `thing`, later ones repeat it;
                  `{hero.his}` is another form of the same word, `{thing2}` another thing
    <greeting>    the rule of that name, written elsewhere

Line breaks and repeated spaces in a template are one space, at its ends none.

The probability of a story is the product of `1 / n` over its choices and first mentions, each
of `n` possibilities. As no alternative at a choice begins another one, a text determines its
derivation, so that product is the probability of the *text*, and `entropy` is exact:

    H(sequence) = sum of H(parts)        H(choice of n) = ln n + mean of H(alternatives)

(Shannon 1948, section 6, property 3: the entropy of successive choices.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

Forms = Mapping[str, str]  # the forms of one word: "" is the word itself, "his" its pronoun ...
Bindings = dict[str, Forms]  # what each variable of the story at hand stands for


@dataclass(frozen=True)
class Text:
    """Prose without marks."""

    text: str


@dataclass(frozen=True)
class Mention:
    """A variable in one of its forms: `{hero.his}` is variable `hero`, form `his`."""

    variable: str
    form: str

    @property
    def kind(self) -> str:
        """The word list it draws from: the variable's name without its number."""
        return self.variable.rstrip("0123456789")


@dataclass(frozen=True)
class Choice:
    """Alternatives of equal probability.

    A variable that every alternative mentions stays bound after the choice; one that only some
    mention ends with it, so that what follows never depends on the alternative taken.
    """

    alternatives: tuple[Sequence_, ...]

    @cached_property
    def variables(self) -> frozenset[str]:
        """Those that every alternative mentions."""
        return frozenset.intersection(*map(variables, self.alternatives))

    def after(self, before: Bindings, within: Bindings) -> Bindings:
        """What stays bound after the choice, of what one alternative has bound."""
        return {name: w for name, w in within.items() if name in before or name in self.variables}


Sequence_ = tuple[Text | Mention | Choice, ...]


def variables(sequence: Sequence_) -> frozenset[str]:
    """The variables that every telling of `sequence` mentions."""
    names = [
        part.variables if isinstance(part, Choice) else frozenset({part.variable})
        for part in sequence
        if not isinstance(part, Text)
    ]
    return frozenset().union(*names)


@dataclass(frozen=True)
class Story:
    """A text and how surprising it is: `nats = -ln P(text)` under the grammar that told it."""

    text: str
    nats: float


class Grammar:
    """Templates and word lists that tell stories, score them, and know their entropy.

    Args:
        start: The template a story begins from.
        rules: Templates by the name that `<name>` calls them.
        words: The word lists by kind. Kinds that hold the same list object share it: two
            variables drawing from it never stand for the same word.

    Raises:
        ValueError: A mark that is not closed, or a mention or rule of unknown name.
    """

    def __init__(
        self, start: str, rules: Mapping[str, str], words: Mapping[str, Sequence[Forms]]
    ) -> None:
        self.words = words
        self._rules = rules
        self._start = self._parse(start)

    def tell(self, random: Random) -> Story:
        """Draws one story. Equal states of `random` give equal stories."""
        pieces: list[str] = []
        nats, _ = self._expand(self._start, random, {}, pieces)
        return Story("".join(pieces), nats)

    def derivations(self, text: str) -> list[float]:
        """The nats of every derivation of `text`: one for a story, none for anything else."""
        matches = self._match(self._start, text, 0, {})
        return [nats for position, _, nats in matches if position == len(text)]

    def entropy(self) -> float:
        """Nats of one story in expectation, exactly."""
        return self._entropy(self._start, {})[0]

    # How a template is read.

    _MARK = re.compile(r"[\[\]|]|\{[^{}]*\}|<[^<>]*>")

    def _parse(self, template: str) -> Sequence_:
        marks = iter(self._split(" ".join(template.split())))
        alternatives, closed = self._parse_alternatives(marks, template)
        if closed or len(alternatives) != 1:
            raise ValueError(f"a `]` or `|` without its `[` in the template {template!r}")
        return alternatives[0]

    def _split(self, template: str) -> Iterator[str]:
        end = 0
        for mark in self._MARK.finditer(template):
            if mark.start() > end:
                yield template[end : mark.start()]
            yield mark.group()
            end = mark.end()
        if end < len(template):
            yield template[end:]

    def _parse_alternatives(
        self, marks: Iterator[str], template: str
    ) -> tuple[list[Sequence_], bool]:
        alternatives: list[Sequence_] = [()]
        for mark in marks:
            if mark == "]":
                return alternatives, True
            if mark == "|":
                alternatives.append(())
                continue
            alternatives[-1] += self._parse_mark(mark, marks, template)
        return alternatives, False

    def _parse_mark(self, mark: str, marks: Iterator[str], template: str) -> Sequence_:
        if mark == "[":
            alternatives, closed = self._parse_alternatives(marks, template)
            if not closed:
                raise ValueError(f"a `[` without its `]` in the template {template!r}")
            return (Choice(tuple(alternatives)),)
        if mark.startswith("{"):
            return (self._parse_mention(mark[1:-1]),)
        if mark.startswith("<"):
            if mark[1:-1] not in self._rules:
                raise ValueError(f"no rule is called {mark}, but {template!r} calls it")
            return self._parse(self._rules[mark[1:-1]])
        return (Text(mark),)

    def _parse_mention(self, name: str) -> Mention:
        variable, _, form = name.partition(".")
        mention = Mention(variable, form)
        if mention.kind not in self.words or form not in self.words[mention.kind][0]:
            raise ValueError(f"{{{name}}} names no form of a known kind of word")
        return mention

    # The three readings of a parsed template: telling, matching, measuring.

    def _candidates(self, mention: Mention, bindings: Bindings) -> Sequence[Forms]:
        """The words a first mention may draw: those of its kind that nothing else stands for."""
        words = self.words[mention.kind]
        taken = [
            bound
            for variable, bound in bindings.items()
            if self.words[Mention(variable, "").kind] is words
        ]
        return [word for word in words if word not in taken] if taken else words

    def _expand(
        self, sequence: Sequence_, random: Random, bindings: Bindings, pieces: list[str]
    ) -> tuple[float, Bindings]:
        nats = 0.0
        for part in sequence:
            if isinstance(part, Text):
                pieces.append(part.text)
            elif isinstance(part, Choice):
                nats += math.log(len(part.alternatives))
                chosen = random.choice(part.alternatives)
                surprise, within = self._expand(chosen, random, bindings, pieces)
                nats += surprise
                bindings = part.after(bindings, within)
            else:
                if part.variable not in bindings:
                    candidates = self._candidates(part, bindings)
                    nats += math.log(len(candidates))
                    bindings = bindings | {part.variable: random.choice(candidates)}
                pieces.append(bindings[part.variable][part.form])
        return nats, bindings

    def _match(
        self, sequence: Sequence_, text: str, start: int, bindings: Bindings
    ) -> Iterator[tuple[int, Bindings, float]]:
        """Every way in which `sequence` can read `text` from `start`: (end, bindings, nats)."""
        if not sequence:
            yield start, bindings, 0.0
            return
        for middle, bound, nats in self._match_part(sequence[0], text, start, bindings):
            for end, final, rest in self._match(sequence[1:], text, middle, bound):
                yield end, final, nats + rest

    def _match_part(
        self, part: Text | Mention | Choice, text: str, start: int, bindings: Bindings
    ) -> Iterator[tuple[int, Bindings, float]]:
        if isinstance(part, Text):
            if text.startswith(part.text, start):
                yield start + len(part.text), bindings, 0.0
        elif isinstance(part, Choice):
            chance = math.log(len(part.alternatives))
            for alternative in part.alternatives:
                for end, within, nats in self._match(alternative, text, start, bindings):
                    yield end, part.after(bindings, within), chance + nats
        else:
            known = part.variable in bindings
            candidates = [bindings[part.variable]] if known else self._candidates(part, bindings)
            for word in candidates:
                if text.startswith(word[part.form], start):
                    end = start + len(word[part.form])
                    yield end, bindings | {part.variable: word}, math.log(len(candidates))

    def _entropy(self, sequence: Sequence_, bindings: Bindings) -> tuple[float, Bindings]:
        """Expected nats of `sequence`, and what is bound after it.

        Which word a variable stands for does not matter, only how many are left to draw from, so
        the first candidate stands for all.
        """
        total = 0.0
        for part in sequence:
            if isinstance(part, Choice):
                branches = [self._entropy(branch, bindings) for branch in part.alternatives]
                total += math.log(len(branches)) + sum(nats for nats, _ in branches) / len(branches)
                bindings = part.after(bindings, branches[0][1])
            elif isinstance(part, Mention) and part.variable not in bindings:
                candidates = self._candidates(part, bindings)
                total += math.log(len(candidates))
                bindings = bindings | {part.variable: candidates[0]}
        return total, bindings
