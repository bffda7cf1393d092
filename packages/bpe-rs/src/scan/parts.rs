//! What cl100k's and o200k's patterns, and those like them, have in common: runs, contractions, white space.

use crate::scan::eight::{Eight, Members};
use crate::scan::kinds::{Kinds, LETTER, NEWLINE, NUMBER, WHITE, kind_at};
use crate::unicode_tables::KINDS;

/// The ASCII characters that are letters, or may stand before letters, and begin no contraction.
static BEGINS_WORD: [bool; 128] = {
    let mut begins = [false; 128];
    let mut byte = 0;
    while byte < begins.len() {
        begins[byte] = !KINDS[0][byte].is(NUMBER.or(NEWLINE)) && byte != b'\'' as usize;
        byte += 1;
    }
    begins
};

/// The most frequent beginning of a pretoken, found in one look at eight bytes: an ASCII character
/// that may be a letter or not, then ASCII letters that are `members`. Gives the end of those, and
/// whether they are all, since an ASCII character ends them, and no apostrophe.
#[inline]
pub(crate) fn short_word(
    text: &str,
    start: usize,
    members: impl Fn(Eight) -> Members,
) -> Option<(usize, bool)> {
    let eight = Eight::at(text, start)?;
    if !*BEGINS_WORD.get(usize::from(eight.byte(0)))? {
        return None;
    }
    let length = members(eight).with_first().run();
    let is_whole = eight.has_ascii(length) && eight.byte(length) != b'\'';
    (length > 1).then_some((start + length, is_whole))
}

/// The end of the run of `kinds` that goes on at byte `at`.
#[inline]
pub(crate) fn run_end(text: &str, mut at: usize, kinds: Kinds) -> usize {
    while let Some((kind, width)) = kind_at(text, at)
        && kind.is(kinds)
    {
        at += width;
    }
    at
}

/// The end of the run of letters that goes on at byte `at`.
#[inline]
pub(crate) fn letters_end(text: &str, at: usize) -> usize {
    mixed_end(text, at, Eight::letters, LETTER)
}

/// The end of the run of `kinds`, of which `a` to `z` are the ASCII ones, that goes on at `at`.
#[inline]
pub(crate) fn lower_end(text: &str, at: usize, kinds: Kinds) -> usize {
    mixed_end(text, at, Eight::small_letters, kinds)
}

/// The end of the run of `kinds` that goes on at byte `at`; `members` finds the ASCII ones.
#[inline]
fn mixed_end(text: &str, mut at: usize, members: impl Fn(Eight) -> Members, kinds: Kinds) -> usize {
    loop {
        at = ascii_end(text, at, &members);
        let end = wide_end(text, at, kinds);
        if end == at {
            return at;
        }
        at = end;
    }
}

/// The end of the run of ASCII characters that goes on at byte `at`.
#[inline]
fn ascii_end(text: &str, mut at: usize, members: impl Fn(Eight) -> Members) -> usize {
    loop {
        let eight = Eight::at(text, at).unwrap_or_else(|| Eight::last(text, at));
        match members(eight).run() {
            8 => at += 8,
            length => return at + length,
        }
    }
}

/// The end of the run of non-ASCII characters of `kinds` that goes on at byte `at`.
fn wide_end(text: &str, mut at: usize, kinds: Kinds) -> usize {
    while text.as_bytes().get(at).is_some_and(|byte| !byte.is_ascii())
        && let Some((kind, width)) = kind_at(text, at)
        && kind.is(kinds)
    {
        at += width;
    }
    at
}

/// The end of up to `most` numbers from byte `at` on, where one stands that has `width` bytes.
#[inline]
pub(crate) fn numbers_end(text: &str, at: usize, width: usize, most: usize) -> usize {
    let mut end = at + width;
    for _ in 1..most {
        match kind_at(text, end) {
            Some((kind, width)) if kind.is(NUMBER) => end += width,
            _ => break,
        }
    }
    end
}

/// The end of the contraction that begins at byte `at`, in letters of either case. U+017F, the
/// long s, is an `s` of another case; the other letters have no third form.
#[inline]
pub(crate) fn contraction_end(text: &str, at: usize) -> Option<usize> {
    let rest = text.as_bytes().get(at..)?;
    if *rest.first()? != b'\'' {
        return None;
    }
    let letter = |index: usize| rest.get(index).map(u8::to_ascii_lowercase);
    match (letter(1)?, letter(2)) {
        (b's' | b'd' | b'm' | b't', _) => Some(at + 2),
        (b'l', Some(b'l')) | (b'v' | b'r', Some(b'e')) => Some(at + 3),
        (0xc5, Some(0xbf)) => Some(at + 3), // U+017F
        _ => None,
    }
}

/// A run of white space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct White {
    /// Behind its last newline, if it has one.
    pub(crate) newline_end: Option<usize>,
    /// Where its last character begins.
    pub(crate) last: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

impl White {
    /// The run from byte `start` on, where white space stands.
    pub(crate) fn run(text: &str, start: usize) -> Self {
        let (mut newline_end, mut last, mut end) = (None, start, start);
        while let Some((kind, width)) = kind_at(text, end)
            && kind.is(WHITE)
        {
            last = end;
            end += width;
            if kind.is(NEWLINE) {
                newline_end = Some(end);
            }
        }
        Self {
            newline_end,
            last,
            end,
        }
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+` for a run from byte `start` on: up to its last newline; without
    /// any, all but its last character, if it has another one and anything follows.
    pub(crate) fn first_pretoken(self, text: &str, start: usize) -> usize {
        match self.newline_end {
            Some(end) => end,
            None if self.end == text.len() || self.last == start => self.end,
            None => self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_letters_end_where_they_end() {
        for (length, end) in
            (0..20).flat_map(|length| ["", "1", "'bcdefghi", "é", "中!"].map(|end| (length, end)))
        {
            let text = "1".to_owned() + &"b".repeat(length) + end;
            let letters = end.chars().take_while(|letter| letter.is_alphabetic());
            let expected = 1 + length + letters.map(char::len_utf8).sum::<usize>();
            assert_eq!(letters_end(&text, 1), expected, "{text:?}");
            assert_eq!(lower_end(&text, 1, LETTER), expected, "{text:?}");
        }
    }
}
