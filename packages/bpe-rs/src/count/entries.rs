//! Counts in the order of their pretokens, from memory and from any number of files at once.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::vec;

use super::file::Reader;
use super::table::PretokenTable;
use crate::error::TrainError;

/// Distinct pretokens in ascending byte order, each with its count, one at a time.
///
/// Memory: 32 bytes for each entry that comes from a table, 64 KiB for each file.
pub struct Entries<'a> {
    /// Where each source stands; the one with the least pretoken on top.
    heads: BinaryHeap<Head<'a>>,
    pretoken: Vec<u8>,
    min_count: u64,
}

impl<'a> Entries<'a> {
    /// The entries of all of them; a pretoken that several hold comes once, with the sum.
    pub(super) fn new(
        table: &'a PretokenTable,
        files: impl IntoIterator<Item = Result<Reader<File>, TrainError>>,
    ) -> Result<Self, TrainError> {
        let mut heads = BinaryHeap::new();
        heads.extend(Head::first(Source::Table(sorted(table).into_iter()))?);
        for file in files {
            heads.extend(Head::first(Source::File(file?))?);
        }
        Ok(Self {
            heads,
            pretoken: Vec::new(),
            min_count: 0,
        })
    }

    /// Leaves out what occurs less often than `min_count` times.
    #[must_use]
    pub fn min_count(mut self, min_count: u64) -> Self {
        self.min_count = min_count;
        self
    }

    /// The next pretoken and its count; None after the last one.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] and [`TrainError::DamagedCounts`] for what was spilled to disk,
    /// [`TrainError::CountOverflow`].
    pub fn next_entry(&mut self) -> Result<Option<(&[u8], u64)>, TrainError> {
        while let Some(count) = self.next_sum()? {
            if count >= self.min_count {
                return Ok(Some((&self.pretoken, count)));
            }
        }
        Ok(None)
    }

    fn next_sum(&mut self) -> Result<Option<u64>, TrainError> {
        let Some(least) = self.heads.peek_mut() else {
            return Ok(None);
        };
        self.pretoken.clear();
        self.pretoken.extend_from_slice(&least.pretoken);
        let mut sum = least.count;
        advance(least)?;
        while let Some(next) = self.heads.peek_mut() {
            if next.pretoken != self.pretoken {
                break;
            }
            sum = sum
                .checked_add(next.count)
                .ok_or(TrainError::CountOverflow)?;
            advance(next)?;
        }
        Ok(Some(sum))
    }
}

/// Moves a source on, or takes it out at its end.
fn advance(mut head: PeekMut<'_, Head<'_>>) -> Result<(), TrainError> {
    if !head.advance()? {
        PeekMut::pop(head);
    }
    Ok(())
}

/// A table's entries in ascending order, each with its key.
fn sorted(table: &PretokenTable) -> Vec<(u64, &[u8], u64)> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(pretoken, count)| (key(pretoken), pretoken, count))
        .collect();
    // The bytes lie all over the memory; keys decide nearly always.
    entries.sort_unstable_by(|left, right| left.0.cmp(&right.0).then_with(|| left.1.cmp(right.1)));
    entries
}

/// The first eight bytes as a number: of two pretokens with different keys, the one with the
/// smaller key is the smaller.
#[inline]
fn key(pretoken: &[u8]) -> u64 {
    if let Some(first) = pretoken.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let bytes = pretoken
        .iter()
        .fold(0, |key, &byte| key << 8 | u64::from(byte));
    // An end is less than any byte, or equal to NUL: then the keys are equal and decide nothing.
    bytes
        .checked_shl(64 - 8 * pretoken.len() as u32)
        .unwrap_or(0)
}

enum Source<'a> {
    Table(vec::IntoIter<(u64, &'a [u8], u64)>),
    File(Reader<File>),
}

/// The entry that a source has come to.
struct Head<'a> {
    key: u64,
    pretoken: Vec<u8>,
    count: u64,
    source: Source<'a>,
}

impl<'a> Head<'a> {
    /// None if the source is empty.
    fn first(source: Source<'a>) -> Result<Option<Self>, TrainError> {
        let mut head = Self {
            key: 0,
            pretoken: Vec::new(),
            count: 0,
            source,
        };
        Ok(head.advance()?.then_some(head))
    }

    /// Whether there was another entry.
    fn advance(&mut self) -> Result<bool, TrainError> {
        match &mut self.source {
            Source::Table(entries) => {
                let Some((key, pretoken, count)) = entries.next() else {
                    return Ok(false);
                };
                self.pretoken.clear();
                self.pretoken.extend_from_slice(pretoken);
                (self.key, self.count) = (key, count);
            }
            Source::File(reader) => {
                let Some(count) = reader.next_entry(&mut self.pretoken)? else {
                    return Ok(false);
                };
                (self.key, self.count) = (key(&self.pretoken), count);
            }
        }
        Ok(true)
    }
}

impl Ord for Head<'_> {
    /// Reversed: a `BinaryHeap` has its greatest on top.
    fn cmp(&self, other: &Self) -> Ordering {
        let keys = other.key.cmp(&self.key);
        keys.then_with(|| other.pretoken.cmp(&self.pretoken))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_never_contradict_the_bytes(
            left in prop::collection::vec(0..3_u8, 0..11),
            right in prop::collection::vec(0..3_u8, 0..11),
        ) {
            let order = key(&left).cmp(&key(&right));
            prop_assert!(order.is_eq() || order == left.cmp(&right));
        }
    }

    #[test]
    fn keys_decide_between_short_pretokens() {
        let ascending: [&[u8]; 6] = [b"a", b"ab", b"abcdefg", b"abcdefgh", b"b", b"\xff\xff"];
        assert!(ascending.is_sorted_by(|left, right| key(left) < key(right)));
    }
}
