//! The file of counted pretokens, which runs on disk share.
//!
//! Numbers are little-endian. A *varint* is LEB128, unsigned, in its shortest form.
//!
//! | part | bytes | meaning |
//! | --- | --- | --- |
//! | head | 8 | `b8 70 72 65 74 6f 6b 0a`: "pretok" between a byte that no text begins with and a line feed |
//! | | 4 | version: 1 |
//! | | 4 | *h*, bytes of what the texts were cut by |
//! | | *h* | the pattern, then the special tokens in byte order: each a varint of its bytes and these, UTF-8; before the special tokens, a varint of how many |
//! | | 4 | CRC-32 of all before |
//! | block | 4 | *n*, bytes of its entries, at least 1 |
//! | | 4 | CRC-32 of *n* and the entries |
//! | | *n* | entries, none cut |
//! | ... | | more blocks; those of this writer end with the entry that brings them to 64 KiB |
//! | end | 4 | 0, where *n* would be |
//! | | 4 | CRC-32 of the 0 and the rest |
//! | | 8 | number of entries |
//! | | 16 | total: the sum of their counts |
//!
//! Nothing follows the end. An entry is a pretoken and its count; pretokens ascend as byte strings,
//! over all blocks, and none is empty. Of each only what differs from the one before is written:
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 1 | upper half: *s*, bytes shared with the beginning of the pretoken before, up to 15; lower half: *r*, bytes that follow those, or 15 |
//! | varint | if *r* is 15: how many more than 15 bytes follow |
//! | | these bytes |
//! | varint | the count, at least 1 |
//!
//! Every number has one form and there is no time or name in it, so the same counts make the same
//! bytes. Sharing stops at 15 bytes so that a hostile file stays about as large in memory as it is
//! on disk: an entry takes at least three bytes and makes at most 15 more than it has. CRC-32 finds
//! every change of up to 32 bits in a row; it is there against damage, not against forgery, and
//! what a forger could do (order, numbers, lengths) is checked for each entry.

mod read;
mod write;

use super::varint::{push_varint, take, take_varint};
use crate::error::TrainError;
use crate::table::MAX_SHORT;

pub(super) use read::{Reader, Saved};
pub(super) use write::Writer;

const MAGIC: [u8; 8] = *b"\xb8pretok\n";
const VERSION: u32 = 1;
/// What is read at once and held in memory for each open file. Larger ones were no faster.
const BLOCK_BYTES: usize = 1 << 16;
/// The most that an entry shares with the one before, and the mark of a longer rest.
const NIBBLE_MAX: usize = 15;
const _: () = assert!(
    NIBBLE_MAX == MAX_SHORT,
    "what is shared can be told from two keys"
);

/// What texts were cut by: counts can be added only if it is the same for both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CutBy {
    pattern: String,
    /// In byte order: their order among themselves has no part in where texts are cut.
    special_tokens: Vec<String>,
}

impl CutBy {
    pub(crate) fn new<S: AsRef<str>>(pattern: &str, special_tokens: &[S]) -> Self {
        let mut special_tokens: Vec<String> = special_tokens
            .iter()
            .map(|token| token.as_ref().to_owned())
            .collect();
        special_tokens.sort_unstable();
        special_tokens.dedup();
        Self {
            pattern: pattern.to_owned(),
            special_tokens,
        }
    }

    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    pub(crate) fn special_tokens(&self) -> &[String] {
        &self.special_tokens
    }

    /// # Errors
    ///
    /// [`TrainError::OtherPattern`] and [`TrainError::OtherSpecialTokens`].
    pub(crate) fn check_same(&self, other: &Self) -> Result<(), TrainError> {
        if self.pattern != other.pattern {
            return Err(TrainError::OtherPattern {
                ours: self.pattern.clone(),
                theirs: other.pattern.clone(),
            });
        }
        if self.special_tokens != other.special_tokens {
            return Err(TrainError::OtherSpecialTokens {
                ours: self.special_tokens.clone(),
                theirs: other.special_tokens.clone(),
            });
        }
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_text(&mut bytes, &self.pattern);
        push_varint(&mut bytes, self.special_tokens.len() as u64);
        for token in &self.special_tokens {
            push_text(&mut bytes, token);
        }
        bytes
    }

    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let pattern = take_text(&mut bytes)?;
        let mut special_tokens: Vec<String> = Vec::new();
        for _ in 0..take_varint(&mut bytes)? {
            special_tokens.push(take_text(&mut bytes)?);
        }
        let is_sorted = special_tokens.is_sorted_by(|left, right| left < right);
        (is_sorted && bytes.is_empty()).then_some(Self {
            pattern,
            special_tokens,
        })
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    push_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = take_varint(bytes)?;
    String::from_utf8(take(bytes, length)?.to_vec()).ok()
}

/// What the end of a file says of its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) entries: u64,
    /// The sum of counts below 2^64, of which there are fewer than 2^64: it fits.
    pub(super) total: u128,
}

impl Totals {
    const BYTES: usize = 8 + 16;

    fn add(&mut self, count: u64) {
        self.entries += 1;
        self.total += u128::from(count);
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (entries, total) = bytes.split_first_chunk()?;
        Some(Self {
            entries: u64::from_le_bytes(*entries),
            total: u128::from_le_bytes(total.try_into().ok()?),
        })
    }

    fn to_bytes(self) -> Vec<u8> {
        [
            &self.entries.to_le_bytes()[..],
            &self.total.to_le_bytes()[..],
        ]
        .concat()
    }
}

/// CRC-32 of a block: of its length as well, so that a changed length is found as such.
fn block_checksum(length: u32, entries: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&length.to_le_bytes());
    checksum.update(entries);
    checksum.finalize()
}

#[cfg(test)]
mod tests;
