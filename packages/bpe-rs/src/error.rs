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
    /// A text in memory is not UTF-8.
    #[error(
        "text {index} must be UTF-8, but its byte {offset} begins no valid character; decode it first"
    )]
    InvalidUtf8Text {
        /// Its place among the texts, the first being 0.
        index: u64,
        /// Where the first bad byte stands in it.
        offset: usize,
    },
    /// A file had another size than when it was first looked at.
    #[error(
        "{} was changed while it was read: it had {expected} bytes at first and {found} later; \
         train on a copy, or when nobody writes it any more",
        path.display()
    )]
    FileChanged {
        /// The file.
        path: PathBuf,
        /// Its size at first.
        expected: u64,
        /// Its size when it was read.
        found: u64,
    },
    /// A compressed file is damaged, or ends too early.
    #[error(
        "{} is damaged or cut short: {source} (within the first {consumed} bytes of {format}); \
         compress or copy it anew",
        path.display()
    )]
    Compressed {
        /// The file.
        path: PathBuf,
        /// How it is compressed.
        format: &'static str,
        /// How much of it was read before that was seen.
        consumed: u64,
        /// What the decompressor said.
        source: io::Error,
    },
    /// A compressed file holds more than it may.
    #[error(
        "{} expands to more than {limit} bytes; raise max_expanded_bytes if it may",
        path.display()
    )]
    ExpandsTooFar {
        /// The file.
        path: PathBuf,
        /// How much it may hold.
        limit: u64,
    },
    /// A line is not JSON.
    #[error(
        "{}, line {line}, column {column}: {message}; each line must be one JSON object",
        path.display()
    )]
    InvalidJson {
        /// The file.
        path: PathBuf,
        /// The line, the first being 1.
        line: u64,
        /// The byte in it, the first being 1.
        column: usize,
        /// What the parser said.
        message: String,
    },
    /// A line is JSON, but not an object with one text in the field.
    #[error(
        "{}, line {line}: {message}; each line must be an object whose field {field:?} is a \
         string (text_field names another)",
        path.display()
    )]
    WrongJsonText {
        /// The file.
        path: PathBuf,
        /// The line, the first being 1.
        line: u64,
        /// The field.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// A line's object has no text.
    #[error(
        "{}, line {line}: there is no field {field:?}, only {found:?}; text_field names the one \
         that holds the text",
        path.display()
    )]
    NoTextField {
        /// The file.
        path: PathBuf,
        /// The line, the first being 1.
        line: u64,
        /// The field.
        field: String,
        /// The fields that are there, or the first twenty of them.
        found: Vec<String>,
    },
    /// A line is too long to be held in memory.
    #[error(
        "{}, line {line} is longer than {limit} bytes, and a line is read as a whole; put its \
         text into several lines, or into a text file of its own",
        path.display()
    )]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// The line, the first being 1.
        line: u64,
        /// How long a line may be.
        limit: usize,
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
