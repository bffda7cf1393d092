//! What can go wrong, with what was needed, what came, and the way out.

use std::io;
use std::path::PathBuf;

/// Why special tokens cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecialTokenError {
    /// An empty special token would match everywhere.
    #[error("special token {index} is empty; leave it out")]
    Empty {
        /// Its place in the list given.
        index: usize,
    },
    /// The same special token twice.
    #[error("special token {token:?} is given twice; give it once")]
    Duplicate {
        /// The token.
        token: String,
    },
    /// A special token of one byte would be in the vocabulary twice.
    #[error(
        "special token {token:?} is a single byte, which every vocabulary holds already; \
         choose a longer one"
    )]
    SingleByte {
        /// The token.
        token: String,
    },
    /// A token was named that the encoder does not recognise.
    #[error("{token:?} is not one of the encoder's {known} special tokens")]
    Unknown {
        /// The token.
        token: String,
        /// How many special tokens there are.
        known: usize,
    },
    /// The automaton that finds the special tokens could not be built.
    #[error("the special tokens are too many or too long to search for: {0}")]
    TooLarge(#[from] aho_corasick::BuildError),
}

/// Why no vocabulary was learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not UTF-8.
    #[error(
        "{} must be UTF-8, but byte {offset} begins no valid character; convert the file, or \
         find the bad byte there{}",
        path.display(),
        if *decompressed { " (counted after decompression)" } else { "" }
    )]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// Where the first bad byte stands, in the text after decompression.
        offset: u64,
        /// Whether the file was decompressed.
        decompressed: bool,
    },
    /// There is nothing to learn from.
    #[error("no text to learn from: the input is empty or holds only special tokens")]
    NoText,
    /// The vocabulary has no room for the tokens it starts with.
    #[error(
        "vocab_size is {requested}, but the 256 bytes and the special tokens alone need {minimum}"
    )]
    VocabTooSmall {
        /// What was asked for.
        requested: usize,
        /// The smallest size that works.
        minimum: usize,
    },
    /// A count does not fit 64 bits.
    #[error("a count of pretokens or pairs exceeds 2^64 - 1; train on fewer texts")]
    CountOverflow,
    /// There are more distinct pretokens, bytes in one of them, or tokens than 32 bits can number.
    #[error("more than 2^32 - 2 {what}; train on fewer or shorter texts")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
    },
    /// A merge to begin with joins a token that is not known by then.
    #[error(
        "merge {merge} of those to begin with joins token id {token_id}, but there are only \
         {known} tokens before it; give the merges in the order in which they were learned"
    )]
    UnknownToken {
        /// Place of the merge in the list.
        merge: usize,
        /// The token.
        token_id: u32,
        /// The bytes and the merges before it.
        known: usize,
    },
    /// The threads could not be started.
    #[error("cannot start {num_threads} threads: {source}; ask for fewer (num_threads)")]
    Threads {
        /// How many were wanted.
        num_threads: usize,
        /// What the thread pool said.
        source: rayon::ThreadPoolBuildError,
    },
    /// The caller asked to stop.
    #[error("training was interrupted")]
    Interrupted,
    /// The special tokens cannot be used.
    #[error(transparent)]
    SpecialTokens(#[from] SpecialTokenError),
}

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
