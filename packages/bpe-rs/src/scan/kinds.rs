//! What a character is to the patterns with the finest eyes, cl100k's and o200k's.

use crate::pretokenize::Class;
use crate::unicode_tables::{BLOCK, KINDS, ROW_OF};

/// A set of kinds of characters, one bit each. Every character is of exactly one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

/// `[\p{Lu}\p{Lt}]`
pub(crate) const UPPER: Kinds = Kinds(1);
/// `\p{Ll}`
pub(crate) const LOWER: Kinds = Kinds(1 << 1);
/// `[\p{Lm}\p{Lo}]`: letters without case, Chinese ones for example.
pub(crate) const CASELESS: Kinds = Kinds(1 << 2);
/// `\p{M}`: combining marks.
pub(crate) const MARK: Kinds = Kinds(1 << 3);
/// `\p{N}`
pub(crate) const NUMBER: Kinds = Kinds(1 << 4);
/// `[\r\n]`
pub(crate) const NEWLINE: Kinds = Kinds(1 << 5);
/// `\s` but for `[\r\n]`
pub(crate) const SPACE: Kinds = Kinds(1 << 6);
/// None of these.
pub(crate) const OTHER: Kinds = Kinds(1 << 7);

/// `\p{L}`
pub(crate) const LETTER: Kinds = UPPER.or(LOWER).or(CASELESS);
/// `\s`
pub(crate) const WHITE: Kinds = SPACE.or(NEWLINE);
/// `[^\s\p{L}\p{N}]`
pub(crate) const SIGN: Kinds = OTHER.or(MARK);

impl Kinds {
    /// The kinds of both.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a character of kind `self` is one of `kinds`.
    #[inline]
    pub(crate) const fn is(self, kinds: Self) -> bool {
        self.0 & kinds.0 != 0
    }

    const fn class(self) -> Class {
        if self.is(LETTER) {
            Class::Letter
        } else if self.is(NUMBER) {
            Class::Number
        } else if self.is(WHITE) {
            Class::Space
        } else {
            Class::Other
        }
    }
}

/// Kind and bytes of the character at byte `at`; `None` at the end of the text.
#[inline]
pub(crate) fn kind_at(text: &str, at: usize) -> Option<(Kinds, usize)> {
    let byte = *text.as_bytes().get(at)?;
    if byte.is_ascii() {
        return Some((KINDS[0][usize::from(byte)], 1));
    }
    let character = text.get(at..)?.chars().next()?;
    Some((kind_of(character), character.len_utf8()))
}

/// The kinds of the characters before and behind byte `at`, if there are two.
#[inline]
pub(crate) fn kinds_around(text: &str, at: usize) -> Option<(Kinds, Kinds)> {
    let (before, behind) = text.split_at_checked(at)?;
    let (before, behind) = (before.chars().next_back()?, behind.chars().next()?);
    Some((kind_of(before), kind_of(behind)))
}

fn kind_of(character: char) -> Kinds {
    let code_point = character as usize;
    KINDS[usize::from(ROW_OF[code_point / BLOCK])][code_point % BLOCK]
}

/// What GPT-2's pattern makes of each kind in `rows`.
pub(crate) const fn classes<const N: usize>(rows: &[[Kinds; BLOCK]; N]) -> [[Class; BLOCK]; N] {
    let mut classes = [[Class::Other; BLOCK]; N];
    let mut at = 0;
    while at < N * BLOCK {
        classes[at / BLOCK][at % BLOCK] = rows[at / BLOCK][at % BLOCK].class();
        at += 1;
    }
    classes
}
