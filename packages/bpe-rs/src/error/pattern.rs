//! Patterns that cannot be used, and texts that they take too long on.

/// Why a pattern cuts no text into pretokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The pattern does not compile, or can only match nothing.
    #[error("the pattern \"{excerpt}\" cannot be used: {reason}; correct it, or leave it out")]
    Invalid {
        /// The pattern, or its first characters.
        excerpt: String,
        /// What the regex engine said.
        reason: String,
    },
    /// The regex engine gave up.
    #[error(
        "the search for a pretoken from byte {offset} on, at \"{excerpt}\", took too much: \
         {reason}; make the pattern's repetitions possessive (\"++\" for \"+\"), let it match every \
         character (\"|(?s:.)\" at its end), or use one of the known patterns"
    )]
    Search {
        /// Where the search began, in the text that was to be cut.
        offset: u64,
        /// The first characters there.
        excerpt: String,
        /// What the regex engine said.
        reason: String,
    },
}

impl PatternError {
    pub(crate) fn invalid(pattern: &str, error: &fancy_regex::Error) -> Self {
        Self::Invalid {
            excerpt: excerpt(pattern),
            reason: reason(error),
        }
    }

    pub(crate) fn search(text: &str, offset: usize, error: &fancy_regex::Error) -> Self {
        Self::Search {
            offset: offset as u64,
            excerpt: excerpt(text.get(offset..).unwrap_or_default()),
            reason: reason(error),
        }
    }
}

/// The beginning of `text`, fit to be shown.
fn excerpt(text: &str) -> String {
    const CHARACTERS: usize = 40;
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(CHARACTERS).collect();
    let rest = if characters.next().is_some() {
        "…"
    } else {
        ""
    };
    format!("{}{rest}", shown.escape_debug())
}

/// What the regex engine said, in the words of our own messages where its own tell too little.
fn reason(error: &fancy_regex::Error) -> String {
    use fancy_regex::{CompileError, Error, RuntimeError};
    match error {
        Error::CompileError(inner) if matches!(**inner, CompileError::PatternCanNeverMatch) => {
            "it can match no character".to_owned()
        }
        Error::RuntimeError(RuntimeError::StackOverflow) => {
            "more than 1,000,000 places to come back to".to_owned()
        }
        Error::RuntimeError(RuntimeError::BacktrackLimitExceeded) => {
            "more than 1,000,000 steps back".to_owned()
        }
        Error::ParseError(position, error) => format!("{error} (byte {position})"),
        _ => error.to_string(),
    }
}
