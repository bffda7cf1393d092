//! The pretokens of o200k's pattern (GPT-4o and later).

use crate::scan::eight::Eight;
use crate::scan::kinds::{
    CASELESS, Kinds, LETTER, LOWER, MARK, NEWLINE, NUMBER, OTHER, SIGN, SPACE, UPPER, kind_at,
    kinds_around,
};
use crate::scan::parts::{White, contraction_end, lower_end, numbers_end, run_end, short_word};

/// The pretoken pattern of o200k, as tiktoken 0.14 publishes it (`openai_public.py`).
///
/// Words: capitals, then small letters, with one sign or white-space character before and a
/// contraction behind; letters without case and marks count as either. Numbers of up to three
/// digits; signs, with one space before and newlines or slashes behind; white space up to its last
/// newline, or but for its last character; the rest of it.
pub const O200K_PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// Letters without case and marks: capitals and small letters at once.
const EITHER: Kinds = CASELESS.or(MARK);
/// What words are made of.
const WORD: Kinds = LETTER.or(MARK);

/// The end of the pretoken that begins at byte `start`, which is below `text.len()`.
///
/// The alternatives of [`O200K_PATTERN`], in its order. A decision looks as far ahead as a run of
/// capitals or white space goes, for a letter without case or a newline in it. So a stream can't
/// hold back a fixed number of bytes; it may go to the last [`is_cut`].
#[inline]
pub(crate) fn pretoken_end(text: &str, start: usize) -> usize {
    if let Some((end, is_whole)) = short_word(text, start, Eight::small_letters) {
        return if is_whole { end } else { small_end(text, end) };
    }
    let Some((first, width)) = kind_at(text, start) else {
        return text.len();
    };
    // A mark is the beginning of a word, never a sign before it: where the pattern tries that
    // first and finds a word behind the mark, the word with the mark in it ends there too.
    if first.is(WORD) {
        return word_end(text, start);
    }
    if first.is(NUMBER) {
        return numbers_end(text, start, width, 3);
    }
    let next = start + width;
    match kind_at(text, next) {
        Some((kind, _)) if kind.is(WORD) && !first.is(NEWLINE) => word_end(text, next),
        Some((kind, width)) if kind.is(OTHER) && text.as_bytes()[start] == b' ' => {
            signs_end(text, next + width)
        }
        _ if first.is(OTHER) => signs_end(text, next),
        _ => White::run(text, start).first_pretoken(text, start),
    }
}

/// The end of the word that begins at byte `start`, with its contraction.
///
/// The first alternative, `[capitals]*[small]+`, takes all capitals and the small letters behind
/// them. If there are none, it gives capitals back until the last one was without case and counts
/// as small: the word ends there. If none was, it is the second alternative's, of capitals alone.
#[inline]
fn word_end(text: &str, start: usize) -> usize {
    let (mut last_either, mut capitals_end) = (None, start);
    while let Some((kind, width)) = kind_at(text, capitals_end)
        && kind.is(UPPER.or(EITHER))
    {
        capitals_end += width;
        if kind.is(EITHER) {
            last_either = Some(capitals_end);
        }
    }
    match (last_either, kind_at(text, capitals_end)) {
        (_, Some((LOWER, width))) => small_end(text, capitals_end + width),
        (Some(last), _) if last < capitals_end => last,
        _ => contraction_end(text, capitals_end).unwrap_or(capitals_end),
    }
}

/// The end of a word that goes on with small letters, or none, at byte `at`.
#[inline]
fn small_end(text: &str, at: usize) -> usize {
    let end = lower_end(text, at, LOWER.or(EITHER));
    contraction_end(text, end).unwrap_or(end)
}

/// `[^\s\p{L}\p{N}]*[\r\n/]*` from byte `at` on.
fn signs_end(text: &str, at: usize) -> usize {
    let end = run_end(text, at, SIGN);
    let tail = text.as_bytes().iter().skip(end);
    end + tail.take_while(|byte| b"\r\n/".contains(byte)).count()
}

/// Whether cutting `text` in two at byte `at` changes no pretoken, whatever follows.
///
/// A pretoken ends there for certain, if these two characters stand around it:
///
/// * a letter and a number, white space or a sign, but no mark and no apostrophe: behind a letter, a
///   pretoken goes on with letters, marks or a contraction;
/// * a number and no number: those with numbers hold nothing else;
/// * a sign or mark and a number or white space but a newline: behind them, a pretoken goes on with
///   signs, letters, newlines or a contraction;
/// * a newline and a letter, mark, number or sign but a slash: it was the last newline of its run.
///
/// And the part before `at` is cut as before, though it ends now. What comes before is decided by
/// what stands there, except for contractions, where `'l` and no letter is none, as `'l` at the end
/// is; for capitals, whose run ends without small letters as it did; and for white space, which ends
/// with its last newline.
pub(crate) fn is_cut(text: &str, at: usize) -> bool {
    let Some((before, behind)) = kinds_around(text, at) else {
        return false;
    };
    let byte = text.as_bytes()[at];
    if before.is(LETTER) {
        behind.is(NUMBER.or(SPACE).or(NEWLINE).or(OTHER)) && byte != b'\''
    } else if before.is(NUMBER) {
        !behind.is(NUMBER)
    } else if before.is(SIGN) {
        behind.is(NUMBER.or(SPACE))
    } else {
        before.is(NEWLINE) && behind.is(WORD.or(NUMBER).or(OTHER)) && byte != b'/'
    }
}

#[cfg(test)]
mod tests {
    use super::O200K_PATTERN;
    use crate::scan::tests::check_table;

    #[test]
    fn pretokens_are_those_of_the_pattern() {
        let table: [(&str, &[&str]); 15] = [
            ("", &[]),
            ("HTTPServer'S getURL", &["HTTPServer'S", " get", "URL"]),
            ("It's'll 'lax", &["It's", "'ll", " '", "lax"]),
            ("中AB中a ABC'd", &["中AB中a", " ABC'd"]),
            (" \u{301}AB \u{301}'m", &[" \u{301}", "AB", " \u{301}'m"]),
            ("!\u{301}a !!\u{301}a", &["!\u{301}a", " !!\u{301}", "a"]),
            ("1234567\u{bd}", &["123", "456", "7\u{bd}"]),
            ("//\n/ !\n\r//x", &["//\n/", " !\n\r//", "x"]),
            ("a\n  ", &["a", "\n", "  "]),
            ("a\n  b", &["a", "\n", " ", " b"]),
            ("  \n\n   b", &["  \n\n", "  ", " b"]),
            ("a   b", &["a", "  ", " b"]),
            ("  1", &[" ", " ", "1"]),
            ("\tB\u{3000}!", &["\tB", "\u{3000}", "!"]),
            ("\u{1c5}a \u{2b0}A", &["\u{1c5}a", " \u{2b0}", "A"]),
        ];
        check_table(O200K_PATTERN, &table);
    }
}
