//! Text to pretokens: the pieces that merges never cross, cut as GPT-2's pattern cuts them.

use crate::unicode_tables::{BLOCK, CLASSES, ROW_OF};

/// GPT-2's pretoken pattern (Radford et al. 2019, `encoder.py`), as the `regex` package reads it.
///
/// Contractions; a run of letters, of numbers or of anything else but white space, each with one
/// space before it if there is one; white space but for the last character before a pretoken;
/// the rest of the white space.
pub const GPT2_PATTERN: &str =
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// What a character is to the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// `[^\s\p{L}\p{N}]`
    Other,
}

/// Iterates over the pretokens of `text`, which concatenate to `text`.
///
/// ```
/// let pretokens: Vec<_> = bpe_rs::pretokenize("We'll see:  42").collect();
/// assert_eq!(pretokens, ["We", "'ll", " see", ":", " ", " 42"]);
/// ```
pub fn pretokenize(text: &str) -> Pretokens<'_> {
    Pretokens { text, at: 0 }
}

/// The iterator that [`pretokenize`] returns.
#[derive(Clone, Debug)]
pub struct Pretokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Pretokens<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let end = pretoken_end(self.text, self.at)?;
        let pretoken = &self.text[self.at..end];
        self.at = end;
        Some(pretoken)
    }
}

/// The end of the pretoken that begins at byte `start`; `None` at the end of the text.
///
/// The alternatives of [`GPT2_PATTERN`], in its order.
#[inline]
fn pretoken_end(text: &str, start: usize) -> Option<usize> {
    let rest = text.as_bytes().get(start..)?;
    let first = *rest.first()?;
    if first == b'\''
        && let Some(length) = contraction_length(rest)
    {
        return Some(start + length);
    }
    let run = start + usize::from(first == b' ');
    match class_at(text, run) {
        Some((class, width)) if class != Class::Space => Some(run_end(text, run + width, class)),
        _ => Some(white_space_end(text, start)),
    }
}

/// Bytes of the contraction that `rest`, which starts with `'`, begins with.
pub(crate) fn contraction_length(rest: &[u8]) -> Option<usize> {
    match rest.get(1)? {
        b's' | b'd' | b'm' | b't' => Some(2),
        b'l' if rest.get(2) == Some(&b'l') => Some(3),
        b'v' | b'r' if rest.get(2) == Some(&b'e') => Some(3),
        _ => None,
    }
}

/// The end of the run of `class` that goes on at byte `at`.
#[inline]
fn run_end(text: &str, mut at: usize, class: Class) -> usize {
    while let Some((next, width)) = class_at(text, at)
        && next == class
    {
        at += width;
    }
    at
}

/// `\s+(?!\S)|\s+`: a run of white space leaves its last character to what follows, if it has
/// another one and anything follows.
fn white_space_end(text: &str, start: usize) -> usize {
    let (mut last, mut end) = (start, start);
    while let Some((Class::Space, width)) = class_at(text, end) {
        last = end;
        end += width;
    }
    if end == text.len() || last == start {
        end
    } else {
        last
    }
}

/// Class and bytes of the character at byte `at`; `None` at the end of the text.
#[inline]
fn class_at(text: &str, at: usize) -> Option<(Class, usize)> {
    let byte = *text.as_bytes().get(at)?;
    if byte.is_ascii() {
        return Some((CLASSES[0][usize::from(byte)], 1));
    }
    let character = text.get(at..)?.chars().next()?;
    Some((class_of(character), character.len_utf8()))
}

fn class_of(character: char) -> Class {
    let code_point = character as usize;
    CLASSES[usize::from(ROW_OF[code_point / BLOCK])][code_point % BLOCK]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pretokens(text: &str) -> Vec<&str> {
        pretokenize(text).collect()
    }

    #[test]
    fn pretokens_are_those_of_the_pattern() {
        let table: [(&str, &[&str]); 14] = [
            ("", &[]),
            (" ", &[" "]),
            ("a b", &["a", " b"]),
            ("a  b", &["a", " ", " b"]),
            ("a\n\nb", &["a", "\n", "\n", "b"]),
            ("a \nb", &["a", " ", "\n", "b"]),
            ("a   ", &["a", "   "]),
            ("'ll'l'S", &["'ll", "'", "l", "'", "S"]),
            ("I've", &["I", "'ve"]),
            ("''s", &["''", "s"]),
            ("x1½²", &["x", "1½²"]),
            ("a\u{3000}\u{a0}b", &["a", "\u{3000}", "\u{a0}", "b"]),
            ("\0\r\n", &["\0", "\r\n"]),
            (" \u{301}e", &[" \u{301}", "e"]),
        ];
        for (text, expected) in table {
            assert_eq!(pretokens(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn pretokens_concatenate_to_the_text(text in ".*") {
            prop_assert_eq!(pretokens(&text).concat(), text);
        }
    }
}
