"""The words of the stories, by kind, each with the forms that templates ask for.

Within a kind no word begins another one (`ball` and `balloon` would), so that the first letters
that differ decide which was drawn.
"""

from collections.abc import Sequence

from prepare.stories.grammar import Forms

_SHE = {"he": "she", "He": "She", "him": "her", "his": "her", "His": "Her", "child": "girl"}
_HE = {"he": "he", "He": "He", "him": "him", "his": "his", "His": "His", "child": "boy"}


def _female(word: str) -> Forms:
    return {"": word, **_SHE}


def _male(word: str) -> Forms:
    return {"": word, **_HE}


def _noun(word: str) -> Forms:
    article = "an" if word[0] in "aeiou" else "a"
    return {"": word, "a": f"{article} {word}", "A": f"{article.capitalize()} {word}"}


def _place(phrase: str) -> Forms:
    preposition, noun = phrase.split(" ")
    return {"in": f"{preposition} the {noun}", "to": f"to the {noun}"}


def _number(word: str) -> Forms:
    return {"": word, "Two": word.capitalize()}


def _plain(word: str) -> Forms:
    return {"": word}


# fmt: off
# Words that stories repeat are few, so that a small model has seen each often enough to learn, in
# three minutes, that the lost kite is the one that is found: with 48 names the loss stayed 67 %
# above the entropy, with 16 it came to 6 % or 18 % as chance had it, with 10 to 5 %. Words that
# come but once may be many.
_CHILDREN = [
    _female(name) for name in ("Anna", "Clara", "Emma", "Lily", "Mia")
] + [
    _male(name) for name in ("Ben", "Finn", "Jack", "Max", "Tom")
]
_ELDERS = [_female(word) for word in ("mother", "grandmother", "aunt")] + [
    _male(word) for word in ("father", "grandfather", "uncle")
]
_ANIMALS = (
    "bear", "cat", "dog", "duck", "fox", "goat", "mouse", "owl", "rabbit", "sheep",
)
_THINGS = (
    "ball", "bell", "boat", "book", "crown", "doll", "drum", "hat", "kite", "mirror", "robot",
    "umbrella",
)
_FOODS = (
    "apple", "bun", "cake", "carrot", "donut", "muffin", "orange", "pancake", "pear", "waffle",
)
_COLORS = ("black", "blue", "golden", "green", "orange", "pink", "red", "silver", "white", "yellow")
_PLACES = (
    "in garden", "in forest", "in barn", "in kitchen", "in meadow", "in library", "in market",
    "in village", "on beach", "on farm", "on hill", "by river", "by lake", "by mill", "at school",
    "at station",
)
_SPOTS = (
    "under the bed", "behind the door", "inside a boot", "under the stairs", "behind the sofa",
    "in a drawer", "on the roof", "under a leaf", "behind a tree", "in a puddle",
    "between two stones", "inside a pot", "under the table", "on the top shelf",
    "in the long grass", "next to the gate",
)
_WORRIES = (
    "angry", "ashamed", "cross", "gloomy", "helpless", "lonely", "miserable", "nervous", "puzzled",
    "sad", "tired", "unhappy", "upset", "worried",
)
_JOYS = (
    "brave", "calm", "cheerful", "delighted", "glad", "grateful", "happy", "lucky", "merry",
    "pleased", "proud", "thrilled",
)
_WEATHER = (
    "bright", "cloudy", "cold", "foggy", "frosty", "hot", "misty", "rainy", "snowy", "stormy",
    "sunny", "warm", "windy",
)
_NATURES = (
    "brave", "careful", "cheerful", "clever", "eager", "friendly", "funny", "gentle", "kind",
    "lively", "patient", "polite", "quiet", "shy", "thoughtful", "wise",
)
_SIZES = (
    "big", "crooked", "fat", "heavy", "huge", "little", "old", "pretty", "round", "shiny", "small",
    "soft", "strange", "tiny", "ugly", "young",
)
_CLOTHES = (
    "apron", "belt", "boots", "cap", "coat", "gloves", "jacket", "mittens", "shoes", "socks",
)
_TIMES = ("afternoon", "day", "evening", "morning", "night")
_SEASONS = ("autumn", "spring", "summer", "winter")
_NUMBERS = (
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "twenty",
)
_PETS = (
    "Biscuit", "Bubbles", "Coco", "Fluffy", "Ginger", "Lucky", "Noodle", "Pepper", "Shadow",
    "Tiger",
)
_PLANTS = (
    "bean", "cherry", "daisy", "lily", "melon", "pea", "poppy", "pumpkin", "rose", "sunflower",
    "tomato", "tulip",
)
_TRADES = ("baker", "carpenter", "doctor", "farmer", "miller", "painter", "sailor", "tailor")
_GAMES = ("cards", "catch", "chess", "hide and seek", "hopscotch", "marbles", "pirates", "tag")
_SKILLS = (
    "climb", "cook", "dance", "draw", "fish", "juggle", "knit", "paint", "read", "ride", "sew",
    "sing", "skate", "swim",
)
# fmt: on

WORDS: dict[str, Sequence[Forms]] = {
    "hero": _CHILDREN,
    "friend": _CHILDREN,  # the same list object: a friend is never the hero
    "elder": _ELDERS,
    "animal": [_noun(word) for word in _ANIMALS],
    "thing": [_noun(word) for word in _THINGS],
    "food": [_noun(word) for word in _FOODS],
    "color": [_noun(word) for word in _COLORS],
    "place": [_place(phrase) for phrase in _PLACES],
    "spot": [_plain(phrase) for phrase in _SPOTS],
    "worry": [_plain(word) for word in _WORRIES],
    "joy": [_plain(word) for word in _JOYS],
    "weather": [_noun(word) for word in _WEATHER],
    "nature": [_noun(word) for word in _NATURES],
    "size": [_noun(word) for word in _SIZES],
    "clothes": [_plain(word) for word in _CLOTHES],
    "time": [_plain(word) for word in _TIMES],
    "season": [_plain(word) for word in _SEASONS],
    "number": [_number(word) for word in _NUMBERS],
    "pet": [_plain(word) for word in _PETS],
    "plant": [_noun(word) for word in _PLANTS],
    "trade": [_noun(word) for word in _TRADES],
    "game": [_plain(word) for word in _GAMES],
    "skill": [_plain(word) for word in _SKILLS],
}
