//! Writing a file of counts, entry by entry.

use std::io::Write;
use std::path::Path;

use super::{BLOCK_BYTES, CutBy, MAGIC, NIBBLE_MAX, Totals, VERSION, block_checksum};
use crate::count::pretoken::{Pretoken, SortKey};
use crate::count::replace::write_error;
use crate::count::varint::push_varint;
use crate::error::TrainError;

/// Bytes before the entries of a block: their length and the checksum.
const FRAME_BYTES: usize = 4 + 4;

/// Takes entries in ascending order and writes them in blocks.
pub(crate) struct Writer<'a, W> {
    output: W,
    /// For messages.
    path: &'a Path,
    /// `BLOCK_BYTES`, but for tests.
    pub(super) block_bytes: usize,
    /// Room for the frame, then the entries of the block being made.
    block: Vec<u8>,
    /// Of the entry before: an entry shares no more with it than a key holds.
    previous: SortKey,
    totals: Totals,
}

impl<'a, W: Write> Writer<'a, W> {
    pub(crate) fn new(output: W, path: &'a Path, cut_by: &CutBy) -> Result<Self, TrainError> {
        let mut writer = Self {
            output,
            path,
            block_bytes: BLOCK_BYTES,
            block: Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 8),
            previous: Pretoken::empty().key(),
            totals: Totals::default(),
        };
        writer.write(&head(cut_by)?)?;
        writer.block.resize(FRAME_BYTES, 0);
        Ok(writer)
    }

    /// Appends an entry, greater than all before.
    pub(crate) fn push(&mut self, pretoken: &Pretoken, count: u64) -> Result<(), TrainError> {
        debug_assert!(pretoken.key() >= self.previous && count > 0);
        let shared = pretoken.key().shared(self.previous);
        let rest = pretoken.bytes().get(shared..).unwrap_or_default();
        let short = rest.len().min(NIBBLE_MAX);
        self.block.push((shared << 4 | short) as u8);
        if short == NIBBLE_MAX {
            push_varint(&mut self.block, (rest.len() - NIBBLE_MAX) as u64);
        }
        self.block.extend_from_slice(rest);
        push_varint(&mut self.block, count);
        self.previous = pretoken.key();
        self.totals.add(count);
        if self.block.len() >= FRAME_BYTES + self.block_bytes {
            self.write_block()?;
        }
        Ok(())
    }

    /// Writes what is left and the end.
    pub(crate) fn finish(mut self) -> Result<Totals, TrainError> {
        if self.block.len() > FRAME_BYTES {
            self.write_block()?;
        }
        let totals = self.totals.to_bytes();
        let checksum = block_checksum(0, &totals);
        let frame = [0_u32.to_le_bytes(), checksum.to_le_bytes()].concat();
        self.write(&[frame, totals].concat())?;
        Ok(self.totals)
    }

    fn write_block(&mut self) -> Result<(), TrainError> {
        let (frame, entries) = self.block.split_at_mut(FRAME_BYTES);
        let length = u32::try_from(entries.len()).map_err(|_| TrainError::TooMany {
            what: "bytes in one pretoken",
        })?;
        let checksum = block_checksum(length, entries);
        frame.copy_from_slice(&[length.to_le_bytes(), checksum.to_le_bytes()].concat());
        let written = self.output.write_all(&self.block);
        self.block.truncate(FRAME_BYTES);
        written.map_err(|error| write_error(self.path, error))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        self.output
            .write_all(bytes)
            .map_err(|error| write_error(self.path, error))
    }
}

fn head(cut_by: &CutBy) -> Result<Vec<u8>, TrainError> {
    let cut_by = cut_by.to_bytes();
    let length = u32::try_from(cut_by.len()).map_err(|_| TrainError::TooMany {
        what: "bytes of pattern and special tokens",
    })?;
    let mut head = [
        &MAGIC[..],
        &VERSION.to_le_bytes(),
        &length.to_le_bytes(),
        &cut_by,
    ]
    .concat();
    head.extend(crc32fast::hash(&head).to_le_bytes());
    Ok(head)
}
