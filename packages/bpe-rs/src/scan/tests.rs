//! The scanners against the regex engine with the same pattern, on all short texts of
//! representatives, on random ones, and on random Unicode; the tables against the engine's own.

use std::sync::LazyLock;

use fancy_regex::Regex;
use proptest::prelude::*;

use super::general::General;
use super::kinds::{self, Kinds, kind_at};
use crate::error::PatternError;
use crate::pattern::GPT2_SPELLINGS;
use crate::pretokenize::GPT2_PATTERN;
use crate::{CL100K_PATTERN, LLAMA3_PATTERN, O200K_PATTERN, Pattern, QWEN2_PATTERN};

const PATTERNS: [&str; 5] = [
    GPT2_PATTERN,
    CL100K_PATTERN,
    LLAMA3_PATTERN,
    QWEN2_PATTERN,
    O200K_PATTERN,
];

/// Each kind, in each length of UTF-8 that it has, and all that patterns name by itself.
const REPRESENTATIVES: [&str; 46] = [
    "A",
    "É",
    "ǅ",
    "Ⴀ",
    "𐐀", // capitals
    "a",
    "é",
    "ᴀ",
    "𐐨", // small letters
    "ª",
    "ʰ",
    "中",
    "𠀀", // letters without case
    "\u{301}",
    "\u{20d0}",
    "\u{e0100}", // marks
    "1",
    "½",
    "٣",
    "Ⅷ",
    "𝟘", // numbers
    " ",
    "\t",
    "\u{85}",
    "\u{a0}",
    "\u{3000}",
    "\n",
    "\r", // white space
    "!",
    "/",
    "\0",
    "\u{1c}",
    "€",
    "£",
    "🤗", // signs
    "'",
    "s",
    "S",
    "ſ",
    "d",
    "m",
    "t",
    "l",
    "L",
    "v",
    "e",
];
/// One of each that can make a difference to a pattern.
const FEW: [&str; 16] = [
    "A", "a", "中", "\u{301}", "1", " ", "\t", "\u{3000}", "\n", "!", "/", "'", "s", "ſ", "l", "e",
];

/// The one character that is of another kind in the engine's Unicode version.
const RECLASSIFIED: &str = "\u{295}";

/// The pretokens of `text`, from ends that are seen to be handed over as promised.
pub(super) fn pretokens<'a>(pattern: &Pattern, text: &'a str) -> Vec<&'a str> {
    let (mut pretokens, mut at) = (Vec::new(), 0);
    let cut = pattern.ends(text, &mut |start, ends| {
        assert_eq!(start, at);
        assert!(!ends.is_empty());
        for &end in ends {
            assert!(end > at);
            pretokens.push(&text[at..end]);
            at = end;
        }
        Ok::<(), PatternError>(())
    });
    cut.unwrap();
    assert_eq!(at, text.len());
    pretokens
}

/// The pattern by hand and by the engine.
struct Twin {
    ours: Pattern,
    theirs: General,
}

static TWINS: LazyLock<[Twin; PATTERNS.len()]> = LazyLock::new(|| {
    PATTERNS.map(|pattern| Twin {
        ours: Pattern::new(pattern).unwrap(),
        theirs: General::new(pattern).unwrap(),
    })
});

impl Twin {
    fn compare(&self, text: &str) {
        let (mut theirs, mut at) = (Vec::new(), 0);
        let cut = self.theirs.ends(text, &mut |_, ends| {
            for &end in ends {
                theirs.push(&text[at..end]);
                at = end;
            }
            Ok::<(), PatternError>(())
        });
        cut.unwrap();
        let ours = pretokens(&self.ours, text);
        assert_eq!(ours, theirs, "{text:?} by {}", self.ours.as_str());
    }
}

/// `pattern` finds the pretokens in `table`, which come from the PyPI package `regex`.
pub(super) fn check_table(pattern: &str, table: &[(&str, &[&str])]) {
    let ours = Pattern::new(pattern).unwrap();
    for (text, expected) in table {
        assert_eq!(pretokens(&ours, text), *expected, "{text:?}");
    }
}

/// Calls `check` with all texts of `length` of the `parts`.
fn for_all_texts(parts: &[&str], length: u32, mut check: impl FnMut(&str)) {
    let count = parts.len().pow(length);
    let mut text = String::new();
    for number in 0..count {
        text.clear();
        let digit = |place| parts[number / parts.len().pow(place) % parts.len()];
        text.extend((0..length).map(digit));
        check(&text);
    }
}

fn mixture(parts: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(parts), 0..40)
        .prop_map(|parts| parts.concat())
}

/// Characters that the engine's Unicode version, which is older than that of our tables, knows.
fn known_text() -> impl Strategy<Value = String> {
    let unassigned = Regex::new(r"\p{Cn}").unwrap();
    let known =
        move |character: &char| !unassigned.is_match(character.to_string().as_str()).unwrap();
    let character = any::<char>().prop_filter("assigned", known);
    proptest::collection::vec(character, 0..40).prop_map(String::from_iter)
}

#[test]
fn all_short_texts_of_representatives_are_cut_as_the_engine_cuts() {
    let mut compare = |text: &str| TWINS.iter().for_each(|twin| twin.compare(text));
    for length in 0..3 {
        for_all_texts(&REPRESENTATIVES, length, &mut compare);
    }
    for length in 3..5 {
        for_all_texts(&FEW, length, &mut compare);
    }
}

#[test]
fn other_spellings_of_gpt2s_pattern_find_the_same() {
    for spelling in GPT2_SPELLINGS {
        assert_eq!(Pattern::new(spelling).unwrap().as_str(), GPT2_PATTERN);
        let (ours, theirs) = (
            Pattern::new(GPT2_PATTERN).unwrap(),
            General::new(spelling).unwrap(),
        );
        let twin = Twin { ours, theirs };
        (0..4).for_each(|length| for_all_texts(&FEW, length, |text| twin.compare(text)));
    }
}

#[test]
fn every_character_is_of_the_kind_that_the_engine_says() {
    let table: [(Kinds, &str); 8] = [
        (kinds::UPPER, r"[\p{Lu}\p{Lt}]"),
        (kinds::LOWER, r"\p{Ll}"),
        (kinds::CASELESS, r"[\p{Lm}\p{Lo}]"),
        (kinds::MARK, r"\p{M}"),
        (kinds::NUMBER, r"\p{N}"),
        (kinds::NEWLINE, r"[\r\n]"),
        (kinds::SPACE, r"[\s--[\r\n]]"),
        (kinds::OTHER, r"[^\s\p{L}\p{M}\p{N}\p{Cn}]"),
    ];
    let every: String = ('\0'..=char::MAX).collect();
    let (mut count, mut others) = (0, Vec::new());
    for (kind, pattern) in table {
        for found in Regex::new(pattern).unwrap().find_iter(&every) {
            let found = found.unwrap();
            count += 1;
            if kind_at(&every, found.start()).unwrap().0 != kind {
                others.push(found.as_str());
            }
        }
    }
    assert!(count > 280_000, "the engine knows few characters: {count}");
    // A small letter to the engine; a later Unicode version says that it has no case.
    assert_eq!(others, [RECLASSIFIED]);
}

/// `is_cut` looks at the two characters around a place only, so that all pairs of kinds with
/// something on both sides are all there is.
#[test]
fn a_cut_changes_no_pretoken() {
    for twin in TWINS.iter() {
        for length in 2..5 {
            for_all_texts(&FEW, length, |text| check_cuts(&twin.ours, text));
        }
    }
}

fn check_cuts(pattern: &Pattern, text: &str) {
    for at in (0..=text.len()).filter(|&at| pattern.is_cut(text, at)) {
        let parts = [&text[..at], &text[at..]].map(|part| pretokens(pattern, part));
        assert_eq!(parts.concat(), pretokens(pattern, text), "{text:?} at {at}");
    }
}

#[test]
fn cuts_are_found() {
    let text = "It's 3o'clock,\n  ok/!\n中!\n/ a\u{301} \u{301}12B";
    let table = [
        (
            GPT2_PATTERN,
            "It|'s| 3|o|'clock|,|\n  ok|/!|\n中|!|\n/| a|\u{301}| \u{301}|12|B",
        ),
        (
            CL100K_PATTERN,
            "It|'s| 3|o|'clock|,\n  ok|/!\n|中|!\n|/| a|\u{301}| \u{301}|12|B",
        ),
        (
            LLAMA3_PATTERN,
            "It|'s| 3|o|'clock|,\n  ok|/!\n|中|!\n|/| a|\u{301}| \u{301}|12|B",
        ),
        (
            QWEN2_PATTERN,
            "It|'s| 3|o|'clock|,\n  ok|/!\n|中|!\n|/| a|\u{301}| \u{301}|1|2|B",
        ),
        (
            O200K_PATTERN,
            "It's| 3|o'clock|,\n  ok|/!\n|中|!\n/| a\u{301}| \u{301}|12|B",
        ),
    ];
    for (pattern, expected) in table {
        let pattern = Pattern::new(pattern).unwrap();
        let mut marked = String::new();
        for (at, character) in text.char_indices() {
            marked.extend(pattern.is_cut(text, at).then_some('|'));
            marked.push(character);
        }
        assert_eq!(marked, expected);
        assert!(!pattern.is_cut(text, text.len()));
        assert!(!pattern.is_cut(text, text.len() + 1));
    }
}

proptest! {
    #[test]
    fn mixtures_are_cut_as_the_engine_cuts(text in mixture(&REPRESENTATIVES)) {
        TWINS.iter().for_each(|twin| twin.compare(&text));
    }

    #[test]
    fn known_characters_are_cut_as_the_engine_cuts(text in known_text()) {
        TWINS.iter().for_each(|twin| twin.compare(&text));
    }

    #[test]
    fn cuts_in_mixtures_change_no_pretoken(text in mixture(&FEW)) {
        TWINS.iter().for_each(|twin| check_cuts(&twin.ours, &text));
    }

    #[test]
    fn a_cut_is_one_whatever_follows(text in mixture(&REPRESENTATIVES), more in mixture(&FEW)) {
        let whole = text.clone() + &more;
        for Twin { ours: pattern, .. } in TWINS.iter() {
            for at in 0..text.len() {
                prop_assert_eq!(pattern.is_cut(&text, at), pattern.is_cut(&whole, at));
            }
        }
    }
}

#[test]
fn a_long_text_of_each_kind_is_cut_in_linear_time() {
    // Quadratic, each of these would take minutes.
    for part in REPRESENTATIVES
        .iter()
        .chain(&["中A", "\n ", " \t", "!\n", "'l", "A\u{301}"])
    {
        let text = part.repeat(100_000 / part.len()) + "A";
        for twin in TWINS.iter() {
            assert!(!pretokens(&twin.ours, &text).is_empty());
        }
    }
}
