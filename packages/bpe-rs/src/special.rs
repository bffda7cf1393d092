//! Special tokens in a text: no pretoken crosses one; the leftmost wins, then the longest.

use aho_corasick::{AhoCorasick, MatchKind};
use hashbrown::HashSet;

use crate::error::SpecialTokenError;

/// A piece of a text between two cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// Plain text, to be cut into pretokens.
    Text(&'a str),
    /// The special token with this place in the list.
    Special(usize),
}

/// Finds special tokens in texts.
#[derive(Clone, Debug)]
pub(crate) struct SpecialTokens {
    /// None where there are no special tokens: then nothing is searched.
    finder: Option<AhoCorasick>,
    /// The tokens in the order given.
    tokens: Vec<String>,
    /// The tokens in byte order, to ask what a text may be the beginning of.
    sorted: Vec<String>,
    max_length: usize,
}

impl SpecialTokens {
    /// # Errors
    ///
    /// [`SpecialTokenError::Empty`] and [`SpecialTokenError::Duplicate`] for such a token.
    pub(crate) fn new<S: AsRef<str>>(tokens: &[S]) -> Result<Self, SpecialTokenError> {
        let tokens: Vec<String> = tokens
            .iter()
            .map(|token| token.as_ref().to_owned())
            .collect();
        check(&tokens)?;
        let mut sorted = tokens.clone();
        sorted.sort_unstable();
        let finder = (!tokens.is_empty())
            .then(|| {
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(&tokens)
            })
            .transpose()?;
        Ok(Self {
            finder,
            max_length: tokens.iter().map(String::len).max().unwrap_or(0),
            tokens,
            sorted,
        })
    }

    /// Bytes of the longest special token; 0 without any.
    pub(crate) fn max_length(&self) -> usize {
        self.max_length
    }

    /// The special tokens in the order given.
    pub(crate) fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The next special token in `text` from byte `at` on: its place in the list, start and end.
    pub(crate) fn find(&self, text: &str, at: usize) -> Option<(usize, usize, usize)> {
        let input = aho_corasick::Input::new(text).range(at..);
        let found = self.finder.as_ref()?.find(input)?;
        Some((found.pattern().as_usize(), found.start(), found.end()))
    }

    /// Cuts `text` at its special tokens. Empty texts between them are left out.
    pub(crate) fn split<'a>(&self, text: &'a str) -> impl Iterator<Item = Segment<'a>> {
        let mut at = 0;
        let mut special = None;
        std::iter::from_fn(move || {
            if let Some(index) = special.take() {
                return Some(Segment::Special(index));
            }
            let start = at;
            let Some((index, found, end)) = self.find(text, at) else {
                at = text.len();
                return (start < at).then(|| Segment::Text(&text[start..]));
            };
            at = end;
            if start == found {
                return Some(Segment::Special(index));
            }
            special = Some(index);
            Some(Segment::Text(&text[start..found]))
        })
    }

    /// The first byte from `at` on where the rest of `text` is the beginning of a special token
    /// but not the whole of it: more text may complete it.
    pub(crate) fn unfinished_from(&self, text: &str, at: usize) -> Option<usize> {
        let first = text.len().saturating_sub(self.max_length.saturating_sub(1));
        (first.max(at)..text.len())
            .filter(|&start| text.is_char_boundary(start))
            .find(|&start| self.is_beginning(&text[start..]))
    }

    fn is_beginning(&self, text: &str) -> bool {
        let next = self.sorted.partition_point(|token| token.as_str() <= text);
        self.sorted
            .get(next)
            .is_some_and(|token| token.starts_with(text))
    }
}

fn check(tokens: &[String]) -> Result<(), SpecialTokenError> {
    let mut seen = HashSet::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.is_empty() {
            return Err(SpecialTokenError::Empty { index });
        }
        if !seen.insert(token) {
            let token = token.clone();
            return Err(SpecialTokenError::Duplicate { token });
        }
    }
    Ok(())
}
