//! A file that can be read only from its front: compressed, a pipe, or a device.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use memchr::memchr_iter;

use super::FileOptions;
use super::block::{Lines, Taken};
use super::buffer::Buffer;
use super::cut::Cuts;
use super::file::{Compression, InputFile};
use super::piece::FIRST_WINDOW;
use super::pipe::Pipe;
use super::zst::ZstDecoder;
use crate::error::TrainError;
use crate::watch::Watch;

/// A file being read.
pub(super) struct Stream<'a> {
    input: Arc<InputFile>,
    reader: Box<dyn Read + Send + 'a>,
    meter: Arc<Meter>,
    cuts: Cuts<'a>,
    watch: &'a Watch,
    block_bytes: usize,
    max_bytes: u64,
    /// What was read and not yet given out.
    held: Vec<u8>,
    /// Blocks, bytes and lines given out, after decompression, and bytes as stored accounted for.
    blocks: u64,
    offset: u64,
    lines: u64,
    reported: u64,
    has_ended: bool,
}

/// So much is decompressed before the watch is asked again: less than a millisecond's work.
const READ_BYTES: usize = 128 << 10;
const COMPRESSED_BUFFER_BYTES: usize = 64 << 10;

impl<'a> Stream<'a> {
    pub(super) fn open(
        input: Arc<InputFile>,
        options: &FileOptions,
        cuts: Cuts<'a>,
        watch: &'a Watch,
    ) -> Result<Self, TrainError> {
        let meter = Arc::new(Meter::default());
        let opened: io::Result<Box<dyn Read + Send + 'a>> = match input.size {
            Some(_) => File::open(&input.path).map(|file| Box::new(file) as _),
            None => Pipe::open(&input.path, watch).map(|pipe| Box::new(pipe) as _),
        };
        let source = opened.map_err(|error| input.io_error(error))?;
        let metered = Metered {
            source,
            meter: Arc::clone(&meter),
            watch,
        };
        let max_bytes = match input.compression {
            Some(_) => options.max_expanded_bytes.unwrap_or(u64::MAX),
            None => u64::MAX,
        };
        Ok(Self {
            reader: decompressed(metered, input.compression),
            input,
            meter,
            cuts,
            watch,
            block_bytes: options.block_bytes,
            max_bytes,
            held: Vec::new(),
            blocks: 0,
            offset: 0,
            lines: 0,
            reported: 0,
            has_ended: false,
        })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Reads the next block into the buffer. The last one may be empty: that the file ends there
    /// was not known before, and it tells of bytes of the file that gave no text.
    pub(super) fn next_block(&mut self, buffer: &mut Buffer) -> Result<Taken<'a>, TrainError> {
        buffer.clear();
        buffer.push(&self.held);
        let cut = self.read_to_cut(buffer)?;
        let (block, held) = buffer.filled().split_at(cut);
        self.held.clear();
        self.held.extend_from_slice(held);
        let consumed = self.meter.consumed.load(Ordering::Relaxed);
        let taken = Taken {
            file: Arc::clone(&self.input),
            range: 0..cut,
            offset: self.offset,
            block: self.blocks,
            is_last: self.has_ended,
            lines: Lines::Before(self.lines),
            bytes_read: consumed - self.reported,
        };
        self.reported = consumed;
        self.blocks += 1;
        self.offset += cut as u64;
        if self.input.is_jsonl {
            self.lines += memchr_iter(b'\n', block).count() as u64;
        }
        Ok(taken)
    }

    /// Fills the buffer until it holds a cut behind `block_bytes`, or the end of the file.
    fn read_to_cut(&mut self, buffer: &mut Buffer) -> Result<usize, TrainError> {
        let margin = self.cuts.margin();
        let (mut start, mut window) = (self.block_bytes, FIRST_WINDOW);
        loop {
            let end = start + window;
            self.fill(buffer, end + margin)?;
            let filled = buffer.filled();
            if self.has_ended {
                return Ok(filled.len());
            }
            if let Some(limit) = self.cuts.exceeded_by((start - self.block_bytes) as u64) {
                let lines = memchr_iter(b'\n', &filled[..self.block_bytes]).count();
                return Err(self
                    .input
                    .line_too_long(self.lines + lines as u64 + 1, limit));
            }
            // As far to the left as is needed, not all of a block without a cut.
            let first = start.saturating_sub(margin);
            if let Some(cut) = self
                .cuts
                .first(&filled[first..], start - first..end - first)
            {
                return Ok(first + cut);
            }
            // No larger than a block: what lies behind the cut is copied once for each block.
            (start, window) = (end, (2 * window).min(self.block_bytes.max(FIRST_WINDOW)));
        }
    }

    /// Reads on until the buffer holds `wanted` bytes, or to the end.
    fn fill(&mut self, buffer: &mut Buffer, wanted: usize) -> Result<(), TrainError> {
        while buffer.filled().len() < wanted && !self.has_ended {
            self.watch.check()?;
            let end = wanted.min(buffer.filled().len() + READ_BYTES);
            match self.reader.read(buffer.space(end)) {
                Ok(0) => self.end()?,
                Ok(count) => buffer.advance(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_error(error)),
            }
            if self.offset + buffer.filled().len() as u64 > self.max_bytes {
                return Err(TrainError::ExpandsTooFar {
                    path: self.input.path.clone(),
                    limit: self.max_bytes,
                });
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), TrainError> {
        self.has_ended = true;
        self.check_size()
    }

    /// A file that was read to its end has the size it had when it was looked at, unless that was 0:
    /// such a file may be one that the system makes up as it is read.
    fn check_size(&self) -> Result<(), TrainError> {
        let found = self.meter.consumed.load(Ordering::Relaxed);
        let is_whole = self.meter.has_ended.load(Ordering::Relaxed);
        match self.input.size {
            Some(expected) if is_whole && expected > 0 && expected != found => {
                Err(self.input.changed(expected, found))
            }
            _ => Ok(()),
        }
    }

    fn read_error(&self, source: io::Error) -> TrainError {
        if let Err(error) = self.watch.check().and_then(|()| self.check_size()) {
            return error;
        }
        match self.input.compression {
            Some(compression) if source.raw_os_error().is_none() => TrainError::Compressed {
                path: self.input.path.clone(),
                format: compression.name(),
                consumed: self.meter.consumed.load(Ordering::Relaxed),
                source,
            },
            _ => self.input.io_error(source),
        }
    }
}

fn decompressed<'a>(
    metered: Metered<'a>,
    compression: Option<Compression>,
) -> Box<dyn Read + Send + 'a> {
    let buffered = |metered| BufReader::with_capacity(COMPRESSED_BUFFER_BYTES, metered);
    match compression {
        None => Box::new(metered),
        Some(Compression::Gzip) => Box::new(MultiGzDecoder::new(buffered(metered))),
        Some(Compression::Zstd) => Box::new(ZstDecoder::new(buffered(metered))),
    }
}

/// What was read of a file as stored, told from below the decompressor.
#[derive(Default)]
struct Meter {
    consumed: AtomicU64,
    has_ended: AtomicBool,
}

/// Reads, counts, and asks the watch: a decompressor may read gigabytes that give no text.
struct Metered<'a> {
    source: Box<dyn Read + Send + 'a>,
    meter: Arc<Meter>,
    watch: &'a Watch,
}

impl Read for Metered<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.watch.check().map_err(io::Error::other)?;
        let count = self.source.read(bytes)?;
        self.meter
            .consumed
            .fetch_add(count as u64, Ordering::Relaxed);
        if count == 0 && !bytes.is_empty() {
            self.meter.has_ended.store(true, Ordering::Relaxed);
        }
        Ok(count)
    }
}
