//! What cl100k's and o200k's patterns have in common: runs, contractions, white space.

use crate::scan::kinds::{Kinds, LETTER, NEWLINE, NUMBER, WHITE, kind_at};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;
/// What tells `a` from `A`.
const CASE: u64 = ONES << 5;

/// The high bit of each byte of `word` that is one of `first..=last`, ASCII characters.
///
/// No sum carries into the next byte: both parts are below 0x80 before, or one is 0x80 at most
/// and the other 0x7f.
const fn in_range(word: u64, first: u8, last: u8) -> u64 {
    let low = word & !HIGH;
    let reaches_first = low + ONES * (0x80 - first) as u64;
    let passes_last = low + ONES * (0x7f - last) as u64;
    reaches_first & !passes_last & !word & HIGH
}

const fn letters(word: u64) -> u64 {
    in_range(word | CASE, b'a', b'z')
}

const fn lower(word: u64) -> u64 {
    in_range(word, b'a', b'z')
}

/// The end of the run of ASCII bytes of a kind that goes on at byte `at`; `members` gives the high
/// bit of each of eight bytes that is of that kind.
///
/// Eight at once, since a loop over single bytes ends where the processor does not foresee it.
#[inline]
fn ascii_end(bytes: &[u8], mut at: usize, members: impl Fn(u64) -> u64) -> usize {
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        // Behind the text stand zeros, which are no letters.
        let eight = rest.first_chunk().copied().unwrap_or_else(|| padded(rest));
        let others = !members(u64::from_le_bytes(eight)) & HIGH;
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
}

#[cold]
fn padded(rest: &[u8]) -> [u8; 8] {
    let mut eight = [0; 8];
    eight
        .iter_mut()
        .zip(rest)
        .for_each(|(to, from)| *to = *from);
    eight
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
    mixed_end(text, at, letters, LETTER)
}

/// The end of the run of `kinds`, of which `a` to `z` are the ASCII ones, that goes on at `at`.
#[inline]
pub(crate) fn lower_end(text: &str, at: usize, kinds: Kinds) -> usize {
    mixed_end(text, at, lower, kinds)
}

#[inline]
fn mixed_end(text: &str, mut at: usize, members: impl Fn(u64) -> u64, kinds: Kinds) -> usize {
    loop {
        at = ascii_end(text.as_bytes(), at, &members);
        if text.as_bytes().get(at).is_none_or(u8::is_ascii) {
            return at;
        }
        let end = wide_end(text, at, kinds);
        if end == at {
            return at;
        }
        at = end;
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

/// The end of `\p{N}{1,3}` from byte `at` on, where a number stands that has `width` bytes.
#[inline]
pub(crate) fn numbers_end(text: &str, at: usize, width: usize) -> usize {
    let mut end = at + width;
    for _ in 1..3 {
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

    /// `\s+(?!\S)|\s+` for a run from byte `start` on: all but its last character, if it has
    /// another one and anything follows.
    pub(crate) fn gives_back(self, text: &str, start: usize) -> usize {
        if self.end == text.len() || self.last == start {
            self.end
        } else {
            self.last
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_told_apart_in_every_place_beside_every_byte() {
        for (byte, beside) in
            (0..=u8::MAX).flat_map(|byte| [b'a', b'Z', 0, 0xff].map(|b| (byte, b)))
        {
            for place in 0..8 {
                let mut eight = [beside; 8];
                eight[place] = byte;
                let word = u64::from_le_bytes(eight);
                let expected = |is: fn(&u8) -> bool| {
                    u64::from_le_bytes(eight.map(|byte| u8::from(is(&byte)) << 7))
                };
                assert_eq!(letters(word), expected(u8::is_ascii_alphabetic));
                assert_eq!(lower(word), expected(u8::is_ascii_lowercase));
            }
        }
    }

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
