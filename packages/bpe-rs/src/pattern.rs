//! The pattern that says what a pretoken is: one of the known ones, or any other.

use crate::error::PatternError;
use crate::pretokenize::GPT2_PATTERN;
use crate::scan::ends::cut;
use crate::scan::general::General;
use crate::scan::kinds::{LETTER, NUMBER, SIGN, kinds_around};
use crate::scan::{cl100k, gpt2_ends, o200k};
pub use crate::scan::{
    cl100k::{CL100K_PATTERN, LLAMA3_PATTERN, QWEN2_PATTERN},
    o200k::O200K_PATTERN,
};

/// What else finds the same: the first text that was published (`encoder.py`) and tiktoken's.
pub(crate) const GPT2_SPELLINGS: [&str; 2] = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
];

/// How text is cut into pretokens: as `regex.findall` (of the PyPI package `regex`) finds them, with
/// what stands between two matches a pretoken too.
///
/// [`GPT2_PATTERN`], [`CL100K_PATTERN`], [`LLAMA3_PATTERN`], [`QWEN2_PATTERN`] and
/// [`O200K_PATTERN`] are known by their text and scanned by hand; any other is left to the regex
/// engine fancy-regex, ten times slower and more.
///
/// ```
/// use bpe_rs::{CL100K_PATTERN, Pattern};
///
/// let pattern = Pattern::new(CL100K_PATTERN)?;
/// assert_eq!(pattern.as_str(), CL100K_PATTERN);
/// assert!(Pattern::new(r"\p{L}+(").is_err());
/// # Ok::<(), bpe_rs::PatternError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    scanner: Scanner,
}

#[derive(Clone, Debug)]
enum Scanner {
    Gpt2,
    Cl100k(cl100k::Rules),
    O200k,
    General(General),
}

impl Pattern {
    /// The pattern with this text.
    ///
    /// # Errors
    ///
    /// [`PatternError::Invalid`] if it does not compile or can match no character.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let scanner = match pattern {
            GPT2_PATTERN => Scanner::Gpt2,
            other if GPT2_SPELLINGS.contains(&other) => return Self::new(GPT2_PATTERN),
            CL100K_PATTERN => Scanner::Cl100k(cl100k::CL100K),
            LLAMA3_PATTERN => Scanner::Cl100k(cl100k::LLAMA3),
            QWEN2_PATTERN => Scanner::Cl100k(cl100k::QWEN2),
            O200K_PATTERN => Scanner::O200k,
            _ => Scanner::General(General::new(pattern)?),
        };
        Ok(Self {
            text: pattern.to_owned(),
            scanner,
        })
    }

    /// Its text; that of [`GPT2_PATTERN`] for all the ways to write that one which are known.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Cuts `text` into pretokens and hands over their ends, a batch at a time, `take(start, ends)`:
    /// the first pretoken of the batch begins at `start`, each other where the one before ends.
    ///
    /// # Errors
    ///
    /// [`PatternError::Search`] where the regex engine gives up; the first error of `take`.
    pub(crate) fn ends<E: From<PatternError>>(
        &self,
        text: &str,
        take: &mut impl FnMut(usize, &[usize]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.scanner {
            Scanner::Gpt2 => gpt2_ends(text, take),
            &Scanner::Cl100k(rules) => {
                cut(text, |text, at| cl100k::pretoken_end(text, at, rules), take)
            }
            Scanner::O200k => cut(text, o200k::pretoken_end, take),
            Scanner::General(general) => general.ends(text, take),
        }
    }

    /// Whether cutting `text` in two at byte `at` changes no pretoken, whatever follows: nothing
    /// before `at` needs to know what comes, and nothing behind it what was. Looks at the two
    /// characters around `at` only. Of a pattern that isn't known, no such place is.
    ///
    /// A special token is another matter: `at` may lie inside one.
    pub(crate) fn is_cut(&self, text: &str, at: usize) -> bool {
        match &self.scanner {
            Scanner::Gpt2 => is_gpt2_cut(text, at),
            &Scanner::Cl100k(rules) => cl100k::is_cut(text, at, rules),
            Scanner::O200k => o200k::is_cut(text, at),
            Scanner::General(_) => false,
        }
    }
}

impl Default for Pattern {
    /// GPT-2's.
    fn default() -> Self {
        Self {
            text: GPT2_PATTERN.to_owned(),
            scanner: Scanner::Gpt2,
        }
    }
}

/// A pretoken ends for certain between a letter and no letter, a number and no number, a sign and a
/// number or white space: but for contractions, where a letter follows a sign, pretokens hold one
/// class of characters, and perhaps a space before them.
///
/// And the part before is cut as before, though it ends now: of its pretokens, only contractions and
/// white space look ahead, and `'l` at the end is none, as before anything that is no letter.
fn is_gpt2_cut(text: &str, at: usize) -> bool {
    let Some((before, behind)) = kinds_around(text, at) else {
        return false;
    };
    if before.is(LETTER) {
        !behind.is(LETTER)
    } else if before.is(NUMBER) {
        !behind.is(NUMBER)
    } else {
        before.is(SIGN) && !behind.is(SIGN.or(LETTER))
    }
}
