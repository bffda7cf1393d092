//! Reading a file of counts, entry by entry, with nothing believed unchecked.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{CutBy, MAGIC, NIBBLE_MAX, Totals, VERSION, block_checksum};
use crate::count::pretoken::Pretoken;
use crate::count::varint::{take, take_varint};
use crate::error::TrainError;

/// Gives the entries of a file of counts.
///
/// Each block is checked before its first entry is given; what only the end tells (that no block is
/// missing) when it is reached. So entries are certain once the last one has been followed by None.
pub(crate) struct Reader<R> {
    input: R,
    path: PathBuf,
    cut_by: CutBy,
    /// Entries of the block being read, and how many of their bytes are done with.
    block: Vec<u8>,
    at: usize,
    /// Bytes of the file read so far: where the block ends.
    offset: u64,
    totals: Totals,
    /// What the totals were when the file was opened before, if it was.
    expected: Option<Totals>,
    has_ended: bool,
}

impl Reader<File> {
    pub(crate) fn open(path: &Path) -> Result<Self, TrainError> {
        let file = File::open(path).map_err(|source| TrainError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::new(file, path)
    }
}

/// A file of counts that stays where it is, by what its head and its end say.
#[derive(Debug)]
pub(crate) struct Saved {
    path: PathBuf,
    totals: Totals,
}

impl Saved {
    /// Looks at the head and the end; what lies between is looked at when it is read.
    pub(crate) fn open(path: &Path) -> Result<(CutBy, Self), TrainError> {
        let mut reader = Reader::open(path)?;
        let totals = reader.totals_at_end()?;
        let path = path.to_owned();
        Ok((reader.cut_by, Self { path, totals }))
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// Reads it from its beginning; that it is another file by now is an error, at its end at the
    /// latest.
    pub(crate) fn reader(&self) -> Result<Reader<File>, TrainError> {
        let mut reader = Reader::open(&self.path)?;
        reader.expected = Some(self.totals);
        Ok(reader)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads the end in place of what comes next.
    fn totals_at_end(&mut self) -> Result<Totals, TrainError> {
        let length = 8 + Totals::BYTES as i64;
        let sought = self.input.seek(SeekFrom::End(-length));
        self.offset =
            sought.map_err(|_| self.damaged(self.offset, "the file ends here, too early"))?;
        let start = self.offset;
        let (blocks, checksum) = (self.read_number()?, self.read_number()?);
        self.read(Totals::BYTES as u64)?;
        let totals = Totals::from_bytes(&self.block);
        let is_end = blocks == 0 && checksum == block_checksum(0, &self.block);
        totals
            .filter(|_| is_end)
            .ok_or_else(|| self.damaged(start, "the file does not end as such files do"))
    }
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    pub(crate) fn new(input: R, path: &Path) -> Result<Self, TrainError> {
        let mut reader = Self {
            input,
            path: path.to_owned(),
            cut_by: CutBy::new::<&str>("", &[]),
            block: Vec::new(),
            at: 0,
            offset: 0,
            totals: Totals::default(),
            expected: None,
            has_ended: false,
        };
        reader.cut_by = reader.read_head()?;
        Ok(reader)
    }

    #[cfg(test)]
    pub(super) fn block_capacity(&self) -> usize {
        self.block.capacity()
    }

    pub(crate) fn cut_by(&self) -> &CutBy {
        &self.cut_by
    }

    /// Makes `pretoken`, which must hold the one before (nothing, at first), the next one and
    /// returns its count; None after the last one.
    pub(crate) fn next_entry(
        &mut self,
        pretoken: &mut Pretoken,
    ) -> Result<Option<u64>, TrainError> {
        if self.at == self.block.len() && !self.next_block()? {
            return Ok(None);
        }
        let entries = self.block.get(self.at..).unwrap_or_default();
        let mut rest = entries;
        let entry = Entry::take(&mut rest).ok_or("an entry is cut off or not in its one form");
        let entry = entry.and_then(|entry| entry.follow(pretoken).map(|()| entry));
        let entry = entry.map_err(|what| self.damaged(self.offset - entries.len() as u64, what))?;
        self.at += entries.len() - rest.len();
        self.totals.add(entry.count);
        Ok(Some(entry.count))
    }

    fn read_head(&mut self) -> Result<CutBy, TrainError> {
        self.read_magic()?;
        let version = self.read_number()?;
        if version != VERSION {
            return Err(TrainError::CountsVersion {
                path: self.path.clone(),
                found: version,
                supported: VERSION,
            });
        }
        let length = self.read_number()?;
        self.read(length.into())?;
        let cut_by = std::mem::take(&mut self.block);
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&MAGIC);
        checksum.update(&version.to_le_bytes());
        checksum.update(&length.to_le_bytes());
        checksum.update(&cut_by);
        if self.read_number()? != checksum.finalize() {
            return Err(self.damaged(0, "the head does not match its checksum"));
        }
        self.block.clear();
        CutBy::from_bytes(&cut_by)
            .ok_or_else(|| self.damaged(16, "pattern and special tokens are not in their one form"))
    }

    fn read_magic(&mut self) -> Result<(), TrainError> {
        let read = self.read_up_to(MAGIC.len() as u64)?;
        if self.block == MAGIC {
            return Ok(());
        }
        if !self.block.is_empty() && MAGIC.starts_with(&self.block) {
            return Err(self.damaged(read, "the file ends here, within its head"));
        }
        Err(TrainError::NotCounts {
            path: self.path.clone(),
            found: self.block.clone(),
        })
    }

    /// Reads the next block, or the end; whether there was a block.
    fn next_block(&mut self) -> Result<bool, TrainError> {
        if self.has_ended {
            return Ok(false);
        }
        let start = self.offset;
        let (length, checksum) = (self.read_number()?, self.read_number()?);
        let is_end = length == 0;
        self.read(if is_end {
            Totals::BYTES as u64
        } else {
            length.into()
        })?;
        self.at = 0;
        if checksum != block_checksum(length, &self.block) {
            self.block.clear();
            return Err(self.damaged(start, "the block does not match its checksum"));
        }
        if is_end {
            self.check_end(start)?;
        }
        Ok(!is_end)
    }

    fn check_end(&mut self, start: u64) -> Result<(), TrainError> {
        self.has_ended = true;
        let is_right = self.block == self.totals.to_bytes();
        let is_last = self.read_up_to(1)? == 0;
        self.block.clear();
        if !is_right {
            return Err(self.damaged(start, "the entries before are not those of its end"));
        }
        if self.expected.is_some_and(|totals| totals != self.totals) {
            return Err(self.damaged(start, "it is not the file that was opened first"));
        }
        if !is_last {
            return Err(self.damaged(self.offset - 1, "there is more after its end"));
        }
        Ok(())
    }

    fn read_number(&mut self) -> Result<u32, TrainError> {
        self.read(4)?;
        let bytes = self.block.first_chunk().copied();
        Ok(u32::from_le_bytes(bytes.unwrap_or_default()))
    }

    /// Fills `block` with exactly `length` bytes.
    fn read(&mut self, length: u64) -> Result<(), TrainError> {
        match self.read_up_to(length)? {
            read if read == length => Ok(()),
            _ => Err(self.damaged(self.offset, "the file ends here, too early")),
        }
    }

    /// Fills `block`, which grows as bytes come: what a damaged length asks for is not allocated.
    fn read_up_to(&mut self, length: u64) -> Result<u64, TrainError> {
        self.block.clear();
        let mut input = (&mut self.input).take(length);
        let read = input.read_to_end(&mut self.block);
        let read = read.map_err(|source: io::Error| TrainError::Io {
            path: self.path.clone(),
            source,
        })? as u64;
        self.offset += read;
        Ok(read)
    }

    fn damaged(&self, offset: u64, what: &'static str) -> TrainError {
        TrainError::DamagedCounts {
            path: self.path.clone(),
            offset,
            what,
        }
    }
}

/// An entry as it is written: what it adds to the one before.
struct Entry<'a> {
    shared: usize,
    /// Begins with the bytes that follow those shared.
    tail: &'a [u8],
    length: usize,
    count: u64,
}

impl<'a> Entry<'a> {
    #[inline]
    fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let (&lengths, after) = bytes.split_first()?;
        *bytes = after;
        let short = usize::from(lengths & 0x0f);
        let more = if short == NIBBLE_MAX {
            take_varint(bytes)?
        } else {
            0
        };
        let tail = *bytes;
        Some(Self {
            shared: usize::from(lengths >> 4),
            tail,
            length: take(bytes, more.checked_add(short as u64)?)?.len(),
            count: take_varint(bytes)?,
        })
    }

    /// Makes `pretoken`, the one before, that of this entry, if it can be the next.
    #[inline]
    fn follow(&self, pretoken: &mut Pretoken) -> Result<(), &'static str> {
        pretoken.move_on(self.shared, self.tail, self.length)?;
        if self.count == 0 {
            return Err("a count is 0");
        }
        Ok(())
    }
}
