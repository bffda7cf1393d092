//! A plain file in pieces: any thread can read any of them, knowing nothing of the others.
//!
//! The file, or the part of it that is read, is divided into regions of `block_bytes`. Piece k goes from the first cut in region k to
//! the first cut in any later region, so each byte belongs to one piece; where a region has no cut,
//! its piece is empty. Where that first cut is depends on the file and the region alone, so the
//! threads on both sides of it find the same one. A piece looks for its start in one region only:
//! a file without any cut is looked through twice, not once for each region.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr_iter;

use super::block::{Lines, Taken};
use super::buffer::Buffer;
use super::cut::Cuts;
use super::file::InputFile;
use crate::error::TrainError;
use crate::watch::Watch;

/// A cut is looked for in so many bytes first, and in twice as many if there is none: text has one
/// within a word or two, and 4 kB here cost a third of the speed with blocks of 64 kB.
pub(super) const FIRST_WINDOW: usize = 256;
/// So much is read behind a block at once: enough for the end of most JSON lines.
const AHEAD_BYTES: usize = 4 << 10;

/// An open file with positions.
pub(super) struct PlainFile<'a> {
    input: Arc<InputFile>,
    file: File,
    /// The bytes that are read of it: all, or a part.
    bytes: Range<u64>,
    /// Its size.
    size: u64,
    block_bytes: usize,
    cuts: Cuts<'a>,
    watch: &'a Watch,
}

impl<'a> PlainFile<'a> {
    pub(super) fn open(
        input: Arc<InputFile>,
        block_bytes: usize,
        cuts: Cuts<'a>,
        watch: &'a Watch,
    ) -> Result<Self, TrainError> {
        let file = File::open(&input.path).map_err(|source| input.io_error(source))?;
        let length = input.size.unwrap_or(0);
        let (start, size) = match input.part {
            Some(part) => (part.start, part.of),
            None => (0, length),
        };
        let plain = Self {
            bytes: start..start + length,
            size,
            input,
            file,
            block_bytes,
            cuts,
            watch,
        };
        plain.check_size()?;
        Ok(plain)
    }

    pub(super) fn num_pieces(&self) -> u64 {
        (self.bytes.end - self.bytes.start).div_ceil(self.block_bytes as u64)
    }

    /// Where a region begins.
    fn region(&self, index: u64) -> u64 {
        self.bytes.start + index * self.block_bytes as u64
    }

    /// Reads piece `index`, which may be empty, into the buffer.
    pub(super) fn read(
        self: &Arc<Self>,
        index: u64,
        buffer: &mut Buffer,
    ) -> Result<Taken<'a>, TrainError> {
        let mut view = View::new(self, index, buffer)?;
        let start = match index {
            0 => Some(self.bytes.start),
            _ => view.first_cut(index)?,
        };
        let (start, end) = match start {
            Some(start) => (start, view.end_after(index)?),
            None => (view.base, view.base),
        };
        let base = view.base;
        if end == self.bytes.end {
            self.check_size()?;
        }
        Ok(Taken {
            file: Arc::clone(&self.input),
            range: (start - base) as usize..(end - base) as usize,
            offset: start,
            block: index,
            is_last: index + 1 == self.num_pieces(),
            lines: Lines::Uncounted(Arc::clone(self)),
            bytes_read: end - start,
        })
    }

    /// How many lines end before byte `offset`: for messages only, as it reads all that is before.
    pub(super) fn lines_before(&self, offset: u64) -> Result<u64, TrainError> {
        let mut buffer = Buffer::default();
        let (mut at, mut lines) = (0, 0);
        while at < offset {
            buffer.clear();
            self.fill(&mut buffer, at, offset.min(at + self.block_bytes as u64))?;
            lines += memchr_iter(b'\n', buffer.filled()).count() as u64;
            at += buffer.filled().len() as u64;
        }
        Ok(lines)
    }

    /// Reads on until the buffer, which begins at byte `base` of the file, holds all before `end`.
    fn fill(&self, buffer: &mut Buffer, base: u64, end: u64) -> Result<(), TrainError> {
        self.watch.check()?;
        let wanted = end.min(self.bytes.end) - base;
        while (buffer.filled().len() as u64) < wanted {
            let at = base + buffer.filled().len() as u64;
            match read_at(&self.file, buffer.space(wanted as usize), at) {
                Ok(0) => {
                    self.check_size()?;
                    return Err(self.input.changed(self.size, at));
                }
                Ok(count) => buffer.advance(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.input.io_error(error)),
            }
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), TrainError> {
        match self.file.metadata() {
            Ok(metadata) if metadata.len() == self.size => Ok(()),
            Ok(metadata) => Err(self.input.changed(self.size, metadata.len())),
            Err(error) => Err(self.input.io_error(error)),
        }
    }
}

/// The part of the file that a buffer holds.
struct View<'v, 'a> {
    plain: &'v PlainFile<'a>,
    buffer: &'v mut Buffer,
    /// The byte of the file that the buffer begins with.
    base: u64,
}

impl<'v, 'a> View<'v, 'a> {
    /// In one read all that a piece needs which ends soon.
    fn new(
        plain: &'v PlainFile<'a>,
        index: u64,
        buffer: &'v mut Buffer,
    ) -> Result<Self, TrainError> {
        let region = plain.region(index);
        let margin = plain.cuts.margin();
        let base = region.saturating_sub(margin as u64).max(plain.bytes.start);
        buffer.clear();
        let behind = plain.block_bytes + AHEAD_BYTES + margin;
        plain.fill(buffer, base, region + behind as u64)?;
        Ok(Self {
            plain,
            buffer,
            base,
        })
    }

    /// The first cut in the regions behind that of `index`, or the end of the file.
    fn end_after(&mut self, index: u64) -> Result<u64, TrainError> {
        let first = self.plain.region(index + 1);
        for region in index + 1..self.plain.num_pieces() {
            if let Some(cut) = self.first_cut(region)? {
                return Ok(cut);
            }
            let searched = self.plain.region(region + 1) - first;
            if let Some(limit) = self.plain.cuts.exceeded_by(searched) {
                let line = self.plain.lines_before(first)? + 1;
                return Err(self.plain.input.line_too_long(line, limit));
            }
        }
        Ok(self.base + self.buffer.filled().len() as u64)
    }

    /// The first cut in a region: a function of the file and the region, whoever asks.
    fn first_cut(&mut self, region: u64) -> Result<Option<u64>, TrainError> {
        let plain = self.plain;
        let mut start = plain.region(region);
        let last = plain.bytes.end.min(plain.region(region + 1));
        let mut window = FIRST_WINDOW as u64;
        while start < last {
            let end = last.min(start + window);
            if let Some(cut) = self.first_cut_between(start, end)? {
                return Ok(Some(cut));
            }
            (start, window) = (end, 2 * window);
        }
        Ok(None)
    }

    fn first_cut_between(&mut self, start: u64, end: u64) -> Result<Option<u64>, TrainError> {
        let (margin, bytes) = (self.plain.cuts.margin() as u64, &self.plain.bytes);
        self.plain.fill(self.buffer, self.base, end + margin)?;
        let first = start.saturating_sub(margin).max(bytes.start);
        let around = first..bytes.end.min(end + margin);
        let at = |place: u64| (place - self.base) as usize;
        let bytes = &self.buffer.filled()[at(around.start)..at(around.end)];
        let places = (start - around.start) as usize..(end - around.start) as usize;
        let cut = self.plain.cuts.first(bytes, places);
        Ok(cut.map(|cut| around.start + cut as u64))
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}
