//! What keeps texts from being read, and a vocabulary from being learned.

use std::io;
use std::path::PathBuf;

use super::{PatternError, SpecialTokenError};

/// Why no vocabulary was learned, or why files were not encoded.
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
    /// A file could not be written; what it held before is still there.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Counts had to make room in memory, and there is no room on the disk either.
    #[error(
        "cannot spill counts to {}: {source}; make room there, or spill elsewhere{}",
        path.display(),
        spilled(kept)
    )]
    Spill {
        /// The file that could not be written.
        path: PathBuf,
        /// Directories of the files written before: counts to be loaded and merged, or removed.
        kept: Vec<PathBuf>,
        /// What the system said.
        source: io::Error,
    },
    /// A file is none of counts.
    #[error(
        "{} must be a file of counts, but begins with b\"{}\"; save one from counted texts",
        path.display(), found.escape_ascii()
    )]
    NotCounts {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// A file of counts has another version.
    #[error(
        "{} is a file of counts of version {found}, but only version {supported} is known; \
         count the texts again, or use the release that wrote it",
        path.display()
    )]
    CountsVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that can be read.
        supported: u32,
    },
    /// A file of counts is not as it was written.
    #[error(
        "{} is damaged at byte {offset}: {what}; copy it again, or count the texts again",
        path.display()
    )]
    DamagedCounts {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// Counts of pretokens that another pattern cut.
    #[error(
        "counts can be added only if one pattern cut both, but it was {ours:?} and {theirs:?}; \
         count one of the texts again"
    )]
    OtherPattern {
        /// The pattern of the counts added to.
        ours: String,
        /// The pattern of the counts to be added.
        theirs: String,
    },
    /// Counts of texts cut at other special tokens.
    #[error(
        "special tokens must be the same everywhere, but were {ours:?} here and {theirs:?} there; \
         give the same, or count one of the texts again"
    )]
    OtherSpecialTokens {
        /// The special tokens of the counts added to.
        ours: Vec<String>,
        /// The special tokens of the counts to be added.
        theirs: Vec<String>,
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
         read a copy, or read it when nobody writes it any more",
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
    /// There are no files of counts to merge, so nothing says what their texts were cut by.
    #[error("there are no files of counts to merge; name at least one")]
    NoCounts,
    /// Bytes of a file that can't be read by themselves.
    #[error(
        "bytes {start} to {stop} of {} were to be read, but {}",
        path.display(), no_part(*size)
    )]
    NoSuchPart {
        /// The file.
        path: PathBuf,
        /// The first byte.
        start: u64,
        /// The byte behind the last.
        stop: u64,
        /// How many it has; None if it can't be read from the middle.
        size: Option<u64>,
    },
    /// A file of a kind that is not read.
    #[error(
        "{} is no text, and .{ending} is not unpacked here; unpack it, or pack it as .gz or .zst",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// How its name ends.
        ending: String,
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
    /// The tokens would not fit memory.
    #[error(
        "the tokens learned take {total} bytes in all, and more than {limit} are never meant: some \
         pretokens are very long; give max_token_bytes or max_pretoken_bytes, or a smaller \
         vocab_size"
    )]
    TokensTooLong {
        /// Bytes of all tokens.
        total: u64,
        /// How many there may be.
        limit: u64,
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
    /// A merge to begin with does not go with those before it.
    #[error(
        "initial_merges[{merge}] joins b\"{}\" and b\"{}\", {reason}; give the merges of one \
         training, in the order in which they were learned",
        left.escape_ascii(), right.escape_ascii()
    )]
    InitialMerge {
        /// Place of the merge in the list.
        merge: usize,
        /// Left side.
        left: Vec<u8>,
        /// Right side.
        right: Vec<u8>,
        /// What is wrong.
        reason: &'static str,
    },
    /// More merges to begin with than there may be in the end.
    #[error(
        "initial_merges holds {given} merges, but vocab_size leaves room for {room}; raise it, or \
         give only the first of them"
    )]
    TooManyInitialMerges {
        /// How many there are.
        given: usize,
        /// How many there may be.
        room: usize,
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
    #[error("interrupted before the end")]
    Interrupted,
    /// The special tokens cannot be used.
    #[error(transparent)]
    SpecialTokens(#[from] SpecialTokenError),
    /// The pretoken pattern cannot be used, or not on this text.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// How a message goes on about bytes of a file that can't be read by themselves.
fn no_part(size: Option<u64>) -> String {
    match size {
        Some(size) => format!("it has {size} bytes, and at least one was to be among them"),
        None => "it can be read only from its beginning to its end".to_owned(),
    }
}

/// How a message goes on about what was spilled before.
fn spilled(kept: &[PathBuf]) -> String {
    match kept {
        [] => String::new(),
        _ => format!(
            "; what was spilled before, but not what was still in memory, is kept as files of \
             counts in {kept:?}: load and merge them, or remove them"
        ),
    }
}
