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


def _skill(phrase: str) -> Forms:
    infinitive, past = phrase.split(" ")
    return {"": infinitive, "past": past}


def _number(word: str) -> Forms:
    return {"": word, "Two": word.capitalize()}


def _plain(word: str) -> Forms:
    return {"": word}


# fmt: off
_CHILDREN = [
    _female(name) for name in (
        "Anna", "Bella", "Clara", "Daisy", "Emma", "Flora", "Grace", "Hazel", "Ivy", "Julia",
        "Kate", "Lily", "Mia", "Nora", "Olive", "Penny", "Rosie", "Sophie", "Tess", "Una",
        "Violet", "Wendy", "Yara", "Zoe",
    )
] + [
    _male(name) for name in (
        "Adam", "Ben", "Carl", "David", "Eric", "Finn", "George", "Henry", "Isaac", "Jack",
        "Kevin", "Leo", "Max", "Noah", "Oscar", "Peter", "Quentin", "Robin", "Sam", "Tom",
        "Umar", "Victor", "Will", "Yusuf",
    )
]
_ELDERS = [_female(word) for word in ("mother", "grandmother", "aunt", "sister")] + [
    _male(word) for word in ("father", "grandfather", "uncle", "brother")
]
_ANIMALS = (
    "bear", "cat", "dog", "duck", "fox", "frog", "goat", "goose", "hedgehog", "horse", "kitten",
    "lamb", "mole", "mouse", "otter", "owl", "parrot", "penguin", "pig", "rabbit", "raven",
    "sheep", "sparrow", "squirrel", "swan", "turtle",
)
_THINGS = (
    "ball", "basket", "bell", "boat", "book", "bucket", "button", "coin", "crown", "cup", "doll",
    "drum", "feather", "flute", "hat", "kite", "lantern", "marble", "mirror", "necklace", "pebble",
    "pencil", "puzzle", "ribbon", "ring", "robot", "rope", "scarf", "shell", "sled", "spoon",
    "stamp", "teddy", "torch", "train", "umbrella", "wagon", "whistle",
)
_FOODS = (
    "apple", "banana", "bun", "cake", "carrot", "cookie", "donut", "muffin", "orange", "pancake",
    "peach", "pear", "pie", "plum", "sandwich", "tart", "waffle",
)
_COLORS = (
    "black", "blue", "brown", "golden", "green", "orange", "pink", "purple", "red", "silver",
    "white", "yellow",
)
_PLACES = (
    "in garden", "in forest", "in barn", "in kitchen", "in attic", "in meadow", "in orchard",
    "in library", "in market", "in village", "on beach", "on bridge", "on farm", "on hill",
    "by river", "by lake", "by well", "by mill", "at school", "at station", "at harbor", "in park",
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
    "Biscuit", "Bubbles", "Button", "Cinnamon", "Coco", "Dusty", "Fluffy", "Ginger", "Honey",
    "Lucky", "Mango", "Noodle", "Patch", "Pepper", "Pickle", "Rusty", "Shadow", "Snowball",
    "Sunny", "Tiger",
)
_PLANTS = (
    "bean", "cherry", "daisy", "lily", "melon", "pea", "poppy", "pumpkin", "rose", "sunflower",
    "tomato", "tulip",
)
_TRADES = (
    "baker", "carpenter", "doctor", "farmer", "fisherman", "miller", "painter", "sailor",
    "shepherd", "tailor",
)
_GAMES = ("cards", "catch", "chess", "hide and seek", "hopscotch", "marbles", "pirates", "tag")
_SKILLS = (
    "climb climbed", "cook cooked", "dance danced", "draw drew", "fish fished", "juggle juggled",
    "knit knitted", "paint painted", "read read", "ride rode", "sew sewed", "sing sang",
    "skate skated", "swim swam",
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
    "skill": [_skill(phrase) for phrase in _SKILLS],
}
