//! The pretokens of cl100k's pattern (GPT-3.5, GPT-4), and of Llama 3's and Qwen 2's, which differ
//! from it in two rules.

use crate::scan::eight::Eight;
use crate::scan::kinds::{LETTER, NEWLINE, NUMBER, SIGN, SPACE, kind_at, kinds_around};
use crate::scan::parts::{White, contraction_end, letters_end, numbers_end, run_end, short_word};

/// The pretoken pattern of cl100k, as tiktoken 0.14 publishes it (`openai_public.py`).
///
/// Contractions, of either case; letters, with one sign or white-space character before them;
/// numbers of up to three digits; signs, with one space before and newlines behind; white space up
/// to its last newline, or but for its last character; the rest of it. All of it at the end.
pub const CL100K_PATTERN: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";

/// The pretoken pattern of Llama 3, as its `tokenizer.json` has it: cl100k's as first published.
///
/// White space at the end of a text is cut as elsewhere: behind its last newline.
pub const LLAMA3_PATTERN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// The pretoken pattern of Qwen 2, 2.5 and 3, as their `tokenizer.json` has it: Llama 3's, but each
/// number is a pretoken of one character.
pub const QWEN2_PATTERN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// What the three patterns differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// A pretoken of numbers has so many characters at most.
    max_numbers: usize,
    /// White space is one pretoken at the end of a text, with whatever newlines: `\s++$`.
    keeps_last_white: bool,
}

/// [`CL100K_PATTERN`]'s.
pub(crate) const CL100K: Rules = Rules {
    max_numbers: 3,
    keeps_last_white: true,
};
/// [`LLAMA3_PATTERN`]'s.
pub(crate) const LLAMA3: Rules = Rules {
    max_numbers: 3,
    keeps_last_white: false,
};
/// [`QWEN2_PATTERN`]'s.
pub(crate) const QWEN2: Rules = Rules {
    max_numbers: 1,
    keeps_last_white: false,
};

/// The end of the pretoken that begins at byte `start`, which is below `text.len()`.
///
/// The alternatives of [`CL100K_PATTERN`], in its order. A decision looks as far ahead as a run of
/// white space goes: `"\n"` and spaces are one pretoken if the text ends with them, else two or
/// three. So a stream can't hold back a fixed number of bytes; it may go to the last [`is_cut`].
#[inline]
pub(crate) fn pretoken_end(text: &str, start: usize, rules: Rules) -> usize {
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
        return numbers_end(text, start, width, rules.max_numbers);
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
        _ => white_space_end(text, start, rules),
    }
}

/// `[^\s\p{L}\p{N}]*[\r\n]*` from byte `at` on.
fn signs_end(text: &str, at: usize) -> usize {
    run_end(text, run_end(text, at, SIGN), NEWLINE)
}

/// `\s++$|\s*[\r\n]|\s+(?!\S)|\s`, or without the first of these.
fn white_space_end(text: &str, start: usize, rules: Rules) -> usize {
    let white = White::run(text, start);
    if rules.keeps_last_white && white.end == text.len() {
        white.end
    } else {
        white.first_pretoken(text, start)
    }
}

/// Whether cutting `text` in two at byte `at` changes no pretoken, whatever follows.
///
/// A pretoken ends there for certain, if these two characters stand around it:
///
/// * a letter and no letter: pretokens hold letters at their end only;
/// * a number and no number: those with numbers hold nothing else; where they hold one character,
///   a number and anything;
/// * a sign and a number or white space but a newline: behind a sign, a pretoken goes on with
///   signs, letters or newlines;
/// * a newline and a letter, number or sign: it was the last newline of its run.
///
/// And the part before `at` is cut as before, though it ends now. What comes before is decided by
/// what stands there, except for contractions, where `'l` and no letter is none, as `'l` at the end
/// is; and for white space: that before `at` ends with a newline, so that `\s++$` takes now what
/// `\s*[\r\n]` took.
pub(crate) fn is_cut(text: &str, at: usize, rules: Rules) -> bool {
    let Some((before, behind)) = kinds_around(text, at) else {
        return false;
    };
    if before.is(LETTER) {
        !behind.is(LETTER)
    } else if before.is(NUMBER) {
        !behind.is(NUMBER) || rules.max_numbers == 1
    } else if before.is(SIGN) {
        behind.is(NUMBER.or(SPACE))
    } else {
        before.is(NEWLINE) && behind.is(LETTER.or(NUMBER).or(SIGN))
    }
}

#[cfg(test)]
mod tests {
    use super::{CL100K_PATTERN, LLAMA3_PATTERN, QWEN2_PATTERN};
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

    #[test]
    fn numbers_and_last_white_space_are_what_the_patterns_differ_in() {
        let text = "'Tis 1234\u{bd}\n  \n ";
        let table: [(&str, &[&str]); 3] = [
            (
                CL100K_PATTERN,
                &["'T", "is", " ", "123", "4\u{bd}", "\n  \n "],
            ),
            (
                LLAMA3_PATTERN,
                &["'T", "is", " ", "123", "4\u{bd}", "\n  \n", " "],
            ),
            (
                QWEN2_PATTERN,
                &["'T", "is", " ", "1", "2", "3", "4", "\u{bd}", "\n  \n", " "],
            ),
        ];
        for (pattern, expected) in table {
            check_table(pattern, &[(text, expected)]);
        }
    }
}
