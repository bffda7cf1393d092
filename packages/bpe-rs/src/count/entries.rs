//! Counts in the order of their pretokens, from memory and from any number of files at once.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::vec;

use super::file::Reader;
use super::pretoken::{Pretoken, SortKey};
use super::sort::{Keyed, PART_ENTRIES, sorted_parts};
use super::table::PretokenTable;
use crate::error::TrainError;
use crate::watch::Watch;

/// Distinct pretokens in ascending byte order, each with its count, one at a time.
///
/// Memory: 32 bytes for each entry that comes from a table, 64 KiB for each file.
pub struct Entries<'a> {
    /// Where each source stands; the one with the least pretoken on top.
    heads: BinaryHeap<Head<'a>>,
    pretoken: Pretoken,
    min_count: u64,
}

impl<'a> Entries<'a> {
    /// The entries of all of them; a pretoken that several hold comes once, with the sum.
    pub(super) fn new(
        table: &'a PretokenTable,
        files: impl IntoIterator<Item = Result<Reader<File>, TrainError>>,
        watch: &Watch,
    ) -> Result<Self, TrainError> {
        let mut heads = BinaryHeap::new();
        for part in sorted_parts(table, PART_ENTRIES, watch)? {
            heads.extend(Head::first(Input::Table(table, part.into_iter()))?);
        }
        for file in files {
            heads.extend(Head::first(Input::File(file?))?);
        }
        Ok(Self {
            heads,
            pretoken: Pretoken::empty(),
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
        let entry = self.next_watched(&Watch::default())?;
        Ok(entry.map(|(pretoken, count)| (pretoken.bytes(), count)))
    }

    /// [`Entries::next_entry`], or [`TrainError::Interrupted`]: many may be left out before one is
    /// given.
    pub(super) fn next_watched(
        &mut self,
        watch: &Watch,
    ) -> Result<Option<(&Pretoken, u64)>, TrainError> {
        while let Some(count) = self.next_sum()? {
            watch.check()?;
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
        self.pretoken.copy(&least.source.pretoken);
        let mut sum = least.source.count;
        advance(least)?;
        while let Some(next) = self.heads.peek_mut() {
            if next.key != self.pretoken.key() || next.source.pretoken != self.pretoken {
                break;
            }
            sum = sum
                .checked_add(next.source.count)
                .ok_or(TrainError::CountOverflow)?;
            advance(next)?;
        }
        Ok(Some(sum))
    }
}

/// Moves a source on, or takes it out at its end.
fn advance(mut head: PeekMut<'_, Head<'_>>) -> Result<(), TrainError> {
    if head.source.advance()? {
        head.key = head.source.pretoken.key();
    } else {
        PeekMut::pop(head);
    }
    Ok(())
}

/// A source by the entry it has come to. Small, since the heap moves it about.
struct Head<'a> {
    key: SortKey,
    source: Box<Source<'a>>,
}

impl<'a> Head<'a> {
    /// None if the source is empty.
    fn first(input: Input<'a>) -> Result<Option<Self>, TrainError> {
        let mut source = Box::new(Source {
            input,
            pretoken: Pretoken::empty(),
            count: 0,
        });
        let is_empty = !source.advance()?;
        let key = source.pretoken.key();
        Ok((!is_empty).then_some(Self { key, source }))
    }
}

impl Ord for Head<'_> {
    /// Reversed: a `BinaryHeap` has its greatest on top.
    fn cmp(&self, other: &Self) -> Ordering {
        match other.key.cmp(&self.key) {
            Ordering::Equal if self.key.is_longer() => {
                other.source.pretoken.cmp(&self.source.pretoken)
            }
            order => order,
        }
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

enum Input<'a> {
    Table(&'a PretokenTable, vec::IntoIter<Keyed>),
    File(Reader<File>),
}

/// Something sorted, and the entry it has come to.
struct Source<'a> {
    input: Input<'a>,
    pretoken: Pretoken,
    count: u64,
}

impl Source<'_> {
    /// Whether there was another entry.
    fn advance(&mut self) -> Result<bool, TrainError> {
        let count = match &mut self.input {
            Input::File(reader) => reader.next_entry(&mut self.pretoken)?,
            Input::Table(table, entries) => entries.next().map(|entry| {
                entry.give(table, &mut self.pretoken);
                entry.count
            }),
        };
        self.count = count.unwrap_or_default();
        Ok(count.is_some())
    }
}
