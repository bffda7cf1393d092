//! The pretokens of cl100k's pattern (GPT-3.5, GPT-4).

use crate::scan::eight::Eight;
use crate::scan::kinds::{LETTER, NEWLINE, NUMBER, SIGN, SPACE, kind_at, kinds_around};
use crate::scan::parts::{White, contraction_end, letters_end, numbers_end, run_end, short_word};

/// The pretoken pattern of cl100k, as tiktoken 0.14 publishes it (`openai_public.py`).
///
/// Contractions, of either case; letters, with one sign or white-space character before them;
/// numbers of up to three digits; signs, with one space before and newlines behind; white space up
/// to its last newline, or but for its last character; the rest of it. All of it at the end.
pub const CL100K_PATTERN: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";

/// The end of the pretoken that begins at byte `start`, which is below `text.len()`.
///
/// The alternatives of [`CL100K_PATTERN`], in its order. A decision looks as far ahead as a run of
/// white space goes: `"\n"` and spaces are one pretoken if the text ends with them, else two or
/// three. So a stream can't hold back a fixed number of bytes; it may go to the last [`is_cut`].
#[inline]
pub(crate) fn pretoken_end(text: &str, start: usize) -> usize {
    if let Some((end, is_whole)) = short_word(text, start, Eight::letters) {
        return if is_whole {
            end
        } else {
            letters_end(text, end)
        };
    }
    if let Some(end) = contraction_end(text, start) {
        return end;
    }
    let Some((first, width)) = kind_at(text, start) else {
        return text.len();
    };
    if first.is(LETTER) {
        return letters_end(text, start + width);
    }
    if first.is(NUMBER) {
        return numbers_end(text, start, width);
    }
    let next = start + width;
    match kind_at(text, next) {
        Some((kind, width)) if kind.is(LETTER) && !first.is(NEWLINE) => {
            letters_end(text, next + width)
        }
        Some((kind, width)) if kind.is(SIGN) && text.as_bytes()[start] == b' ' => {
            signs_end(text, next + width)
        }
        _ if first.is(SIGN) => signs_end(text, next),
        _ => white_space_end(text, start),
    }
}

/// `[^\s\p{L}\p{N}]*[\r\n]*` from byte `at` on.
fn signs_end(text: &str, at: usize) -> usize {
    run_end(text, run_end(text, at, SIGN), NEWLINE)
}

/// `\s++$|\s*[\r\n]|\s+(?!\S)|\s`
fn white_space_end(text: &str, start: usize) -> usize {
    let white = White::run(text, start);
    match white.newline_end {
        Some(end) if white.end < text.len() => end,
        _ => white.gives_back(text, start),
    }
}

/// Whether cutting `text` in two at byte `at` changes no pretoken, whatever follows.
///
/// A pretoken ends there for certain, if these two characters stand around it:
///
/// * a letter and no letter: pretokens hold letters at their end only;
/// * a number and no number: those with numbers hold nothing else;
/// * a sign and a number or white space but a newline: behind a sign, a pretoken goes on with
///   signs, letters or newlines;
/// * a newline and a letter, number or sign: it was the last newline of its run.
///
/// And the part before `at` is cut as before, though it ends now. What comes before is decided by
/// what stands there, except for contractions, where `'l` and no letter is none, as `'l` at the end
/// is; and for white space: that before `at` ends with a newline, so that `\s++$` takes now what
/// `\s*[\r\n]` took.
pub(crate) fn is_cut(text: &str, at: usize) -> bool {
    let Some((before, behind)) = kinds_around(text, at) else {
        return false;
    };
    if before.is(LETTER) {
        !behind.is(LETTER)
    } else if before.is(NUMBER) {
        !behind.is(NUMBER)
    } else if before.is(SIGN) {
        behind.is(NUMBER.or(SPACE))
    } else {
        before.is(NEWLINE) && behind.is(LETTER.or(NUMBER).or(SIGN))
    }
}

#[cfg(test)]
mod tests {
    use super::CL100K_PATTERN;
    use crate::scan::tests::check_table;

    #[test]
    fn pretokens_are_those_of_the_pattern() {
        let table: [(&str, &[&str]); 14] = [
            ("", &[]),
            ("It'S 'LL'ſ'x", &["It", "'S", " '", "LL", "'ſ", "'x"]),
            ("don't 'lax", &["don", "'t", " '", "lax"]),
            ("1234567\u{bd}", &["123", "456", "7\u{bd}"]),
            ("\tab \tab(c", &["\tab", " ", "\tab", "(c"]),
            (" !?\r\n\nx", &[" !?\r\n\n", "x"]),
            ("a\n  ", &["a", "\n  "]),
            ("a\n  b", &["a", "\n", " ", " b"]),
            ("  \n\n   b", &["  \n\n", "  ", " b"]),
            ("a   b", &["a", "  ", " b"]),
            ("  1", &[" ", " ", "1"]),
            (" \u{3000}!", &[" ", "\u{3000}", "!"]),
            ("a\u{301}b", &["a", "\u{301}b"]),
            ("中A\u{301}", &["中A", "\u{301}"]),
        ];
        check_table(CL100K_PATTERN, &table);
    }
}
