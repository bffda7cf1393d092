//! What keeps texts from becoming ids, and ids from becoming texts.

use super::{PatternError, SpecialTokenError};

/// Why a vocabulary and merges make no encoder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// Some text could not be encoded at all.
    #[error(
        "the vocabulary must hold all 256 single bytes, but byte {byte:#04x} has no token; add it"
    )]
    MissingByte {
        /// The first byte without a token.
        byte: u8,
    },
    /// Two ids for the same bytes: encoding could give either.
    #[error(
        "token ids {first} and {second} both stand for b\"{}\"; keep one of them",
        bytes.escape_ascii()
    )]
    DuplicateToken {
        /// The bytes.
        bytes: Vec<u8>,
        /// One id.
        first: u32,
        /// The other.
        second: u32,
    },
    /// A merge of or into something that is no token.
    #[error(
        "merge {rank} joins b\"{}\" and b\"{}\", but the vocabulary does not hold b\"{}\"; \
         vocabulary and merges must come from the same training",
        left.escape_ascii(), right.escape_ascii(), missing.escape_ascii()
    )]
    UnknownMergeToken {
        /// Place of the merge in the list.
        rank: usize,
        /// Its left side.
        left: Vec<u8>,
        /// Its right side.
        right: Vec<u8>,
        /// The one of left, right and result that is missing.
        missing: Vec<u8>,
    },
    /// The same merge twice.
    #[error(
        "merge {rank} joins b\"{}\" and b\"{}\" as merge {first} does; keep the first",
        left.escape_ascii(), right.escape_ascii()
    )]
    DuplicateMerge {
        /// Place of the second one in the list.
        rank: usize,
        /// Place of the first one.
        first: u32,
        /// Left side.
        left: Vec<u8>,
        /// Right side.
        right: Vec<u8>,
    },
    /// More merges than 32 bits can number.
    #[error("{count} merges are more than 2^32 - 1")]
    TooManyMerges {
        /// How many there are.
        count: usize,
    },
    /// The special tokens cannot be used.
    #[error(transparent)]
    SpecialTokens(#[from] SpecialTokenError),
}

/// Why a text has no ids with merges left out at random.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DropoutError {
    /// Merges can't be left out that often.
    #[error("p must be a probability from 0 to 1, got {p}")]
    Probability {
        /// What came.
        p: f64,
    },
    /// The places of a pretoken are numbered by 32 bits.
    #[error(
        "a pretoken of {bytes} bytes is too long to leave merges out of: 2^32 - 1 are the most; \
         use a pattern that cuts it"
    )]
    TooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// The regex engine gave up.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// Why token ids stand for no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// An id that the vocabulary does not hold.
    #[error("token id {token_id} is not in the vocabulary of {count} tokens")]
    UnknownToken {
        /// The id.
        token_id: u32,
        /// How many tokens there are.
        count: usize,
    },
    /// More tokens of more than 15 bytes than 32 bits can number.
    #[error("more than 2^32 tokens are longer than 15 bytes; give fewer")]
    TooManyLong,
}
