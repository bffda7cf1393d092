//! Byte-level BPE, for whoever needs a vocabulary learned from text or text turned into ids.
//!
//! *Byte pair encoding* writes text with a vocabulary of byte strings, the tokens. It starts from
//! the 256 single bytes, which can write anything, and learns longer tokens by merging, again and
//! again, the pair of adjacent tokens that a corpus holds most often. Text is encoded by merging in
//! the order learned.
//!
//! ```
//! use bpe_rs::{BpeEncoder, Trainer};
//!
//! // Room for one special token, 256 bytes and three merges.
//! let trainer = Trainer::new(1 + 256 + 3, &["<|end|>"])?;
//! let learned = trainer.train_texts(&["low low low<|end|>lower lower newest"])?;
//! let merged: Vec<&[u8]> = learned.tokens[257..].iter().map(Vec::as_slice).collect();
//! assert_eq!(merged, [b"ow" as &[u8], b"low", b" low"]);
//!
//! let token = |id: u32| learned.tokens[id as usize].as_slice();
//! let merges: Vec<_> = learned.merges.iter().map(|&(l, r)| (token(l), token(r))).collect();
//! let vocab = (0..).zip(learned.tokens.clone());
//! let encoder = BpeEncoder::new(vocab, &merges, &[("<|end|>".to_owned(), 0)])?;
//! assert_eq!(encoder.encode("low low<|end|>")?, [258, 259, 0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The way of a text, one file of this crate for each step:
//!
//! | step | file |
//! | --- | --- |
//! | files and texts to blocks, cut where nothing can cross | `input/` |
//! | a text to the segments between its special tokens | `special.rs` |
//! | a segment to pretokens | as defined: `pretokenize.rs`; fast: `pattern.rs`, `scan/` |
//! | pretokens to counts, on all threads; counts to files | `counter.rs`, `count/` |
//! | counts to merges, merges to a vocabulary | `merge/`, `train.rs` |
//! | a text to ids, whole or in parts; files to ids | `encode/` |
//! | ids to a text | `decode.rs` |
//!
//! With the feature `python`, `py/` makes the extension module `bpe_rs._core` of it.

mod count;
mod counter;
mod decode;
mod encode;
mod error;
#[cfg(any(feature = "python", test))]
mod gpt2_files;
mod input;
mod merge;
#[cfg(test)]
mod naive;
mod pattern;
mod pretokenize;
#[cfg(feature = "python")]
mod py;
mod scan;
mod special;
#[cfg(any(feature = "python", test))]
mod spelling;
mod table;
mod threads;
mod train;
mod unicode_tables;
#[cfg(any(feature = "python", test))]
mod utf8;
mod watch;

#[doc(hidden)]
pub use count::count_distinct;
pub use count::{Entries, PretokenCounts};
pub use counter::Counter;
pub use decode::BpeDecoder;
pub use encode::{
    BpeEncoder, Dropout, EncodeStream, EncodedBlock, FilesEncoder, SpecialIds, TokenIds,
    last_merges,
};
pub use error::{
    DecodeError, DropoutError, EncoderError, PatternError, SpecialTokenError, TrainError,
};
pub use input::FilePart;
pub use merge::TieBreak;
pub use pattern::{CL100K_PATTERN, LLAMA3_PATTERN, O200K_PATTERN, Pattern, QWEN2_PATTERN};
pub use pretokenize::{GPT2_PATTERN, Pretokens, pretokenize};
#[doc(hidden)]
pub use scan::split_counters;
pub use train::{Merge, Trainer, Vocabulary};
pub use watch::{Progress, Stage, Watch};
