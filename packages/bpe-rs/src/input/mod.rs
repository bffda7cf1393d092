//! What training reads, as blocks of texts: from files of several kinds, or from texts in memory.
//!
//! Every thread has a [`Reader`], with buffers of its own that serve for one block after the other.
//! A plain file is handed out by positions alone, and each thread reads and cuts its piece without
//! the others; what can be read only from the front (compressed files, pipes) is read by one thread
//! at a time, while the others work on what they have. Checking, parsing and counting a block is the
//! business of the thread that took it.
//!
//! | step | file |
//! | --- | --- |
//! | what a file is, known before any is read | `file.rs` |
//! | which file is read next, by whom | `files.rs` |
//! | a plain file in pieces, by position | `piece.rs` |
//! | a compressed file or a pipe, from the front | `stream.rs`, `zst.rs`, `pipe.rs` |
//! | where a block may end | `cut.rs` |
//! | texts in memory | `texts.rs` |
//! | a block to its texts | `block.rs`, `jsonl.rs` |

mod block;
mod buffer;
mod cut;
mod file;
mod files;
mod jsonl;
mod piece;
mod pipe;
mod stream;
#[cfg(test)]
mod tests;
mod texts;
mod zst;

use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use block::Block;
pub(crate) use cut::TextCuts;
pub use file::FilePart;
pub(crate) use texts::{Text, batches_of};

use crate::error::TrainError;
use crate::watch::Watch;
use buffer::Buffer;
use files::Files;
use texts::{Batch, Texts};

/// How files are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileOptions {
    /// The field of each JSON line that holds its text.
    pub(crate) text_field: String,
    /// What one compressed file may expand to; None means anything.
    pub(crate) max_expanded_bytes: Option<u64>,
    /// How long a JSON line may be: it must be held in memory as a whole.
    pub(crate) max_line_bytes: usize,
    /// About so many bytes make a block, unless there is little to read for many threads.
    pub(crate) block_bytes: usize,
    /// Blocks are given out in the order of the files and of what they hold, and where they are cut
    /// depends on nothing but `block_bytes`. Then a compressed file is all that is read at a time.
    pub(crate) in_order: bool,
    /// So many blocks of the first file are left out; for reading in order.
    pub(crate) first_block: u64,
}

/// Where a block stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Among all blocks given out.
    pub(crate) index: u64,
    /// Its file, among those that were to be read.
    pub(crate) file: usize,
    /// In its file.
    pub(crate) block: u64,
    /// None of its file follows.
    pub(crate) is_last: bool,
    /// It is a part of a text; else each of its texts is whole, a row of its file.
    pub(crate) is_part: bool,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            text_field: "text".to_owned(),
            max_expanded_bytes: None,
            max_line_bytes: MAX_LINE_BYTES,
            block_bytes: BLOCK_BYTES,
            in_order: false,
            first_block: 0,
        }
    }
}

/// Half of a small second-level cache: reading and checking goes at 8.3 GB/s with 256 kB blocks,
/// at 6.7 GB/s with 1 MB, at 7.0 GB/s with 64 kB.
const BLOCK_BYTES: usize = 256 << 10;
const MAX_LINE_BYTES: usize = 100 << 20;
/// A smaller share is not worth another thread.
const MIN_BLOCK_BYTES: usize = 128 << 10;
/// So many blocks a thread, and none is left with much when the others are done.
const BLOCKS_A_THREAD: u64 = 4;

/// What there is to read: shared by the threads, which take their blocks from it.
pub(crate) struct Input<'a> {
    source: Source<'a>,
    watch: &'a Watch,
    /// One thread failed: the others need not go on.
    is_stopped: AtomicBool,
}

enum Source<'a> {
    Files(Files<'a>),
    Texts(Texts<'a>),
}

impl<'a> Input<'a> {
    /// Files or parts of them, each a text of its own or, if its name ends in `.jsonl` or `.ndjson`, one a line.
    ///
    /// Both may be compressed (`.gz`, `.zst`). All are looked at before any is read: the last one
    /// missing should not be found out after hours. `num_threads` is how many will read.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] for the first one that cannot be read.
    pub(crate) fn files(
        parts: &[FilePart],
        mut options: FileOptions,
        cuts: TextCuts<'a>,
        num_threads: usize,
        watch: &'a Watch,
    ) -> Result<Self, TrainError> {
        let mut files = file::check_all(parts)?;
        if !options.in_order {
            // Pieces of plain files keep the threads busy that would wait for the others.
            files.sort_by_key(file::InputFile::is_plain);
            let total: u64 = files.iter().filter_map(|file| file.size).sum();
            options.block_bytes = block_bytes(options.block_bytes, total, num_threads);
        }
        let source = Source::Files(Files::new(files, options, cuts, watch));
        Ok(Self::new(source, watch))
    }

    /// Texts in memory, or made as they are asked for; `batches` is asked by one thread at a time.
    pub(crate) fn texts(
        batches: impl Iterator<Item = Result<Vec<Text<'a>>, TrainError>> + Send + 'a,
        watch: &'a Watch,
    ) -> Self {
        Self::new(Source::Texts(Texts::new(batches)), watch)
    }

    fn new(source: Source<'a>, watch: &'a Watch) -> Self {
        let is_stopped = AtomicBool::new(false);
        Self {
            source,
            watch,
            is_stopped,
        }
    }

    /// The sum of [`Block::bytes_read`] over all blocks; 0 where nobody knows it.
    pub(crate) fn total_bytes(&self) -> u64 {
        match &self.source {
            Source::Files(files) => files.total_bytes(),
            Source::Texts(_) => 0,
        }
    }

    /// How many of `num_threads` threads find something to do, at most.
    pub(crate) fn useful_threads(&self, num_threads: usize) -> usize {
        match &self.source {
            Source::Files(files) => num_threads.min(files.max_blocks()).max(1),
            Source::Texts(_) => num_threads,
        }
    }

    /// For one thread.
    pub(crate) fn reader(&self) -> Reader<'_, 'a> {
        Reader {
            input: self,
            buffer: Buffer::default(),
            batch: Batch::default(),
        }
    }

    /// Ends it for all threads, because one has failed.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}

/// `at_most`, or less where `total` bytes would not give each thread its share.
fn block_bytes(at_most: usize, total: u64, num_threads: usize) -> usize {
    let share = total / (BLOCKS_A_THREAD * num_threads.max(1) as u64);
    let share = usize::try_from(share).unwrap_or(usize::MAX);
    at_most.min(share.max(MIN_BLOCK_BYTES)).max(1)
}

/// Takes blocks from the input for one thread.
pub(crate) struct Reader<'i, 'a> {
    input: &'i Input<'a>,
    buffer: Buffer,
    batch: Batch<'a>,
}

impl Reader<'_, '_> {
    /// The next block for this thread; None when nothing is left, or another thread has failed.
    ///
    /// # Errors
    ///
    /// What keeps the input from being read, or [`TrainError::Interrupted`].
    pub(crate) fn next_block(&mut self) -> Result<Option<Block<'_>>, TrainError> {
        let input = self.input;
        if input.is_stopped() {
            return Ok(None);
        }
        let taken = input.watch.check().and_then(|()| self.take());
        if taken.is_err() {
            input.stop();
        }
        taken
    }

    fn take(&mut self) -> Result<Option<Block<'_>>, TrainError> {
        let stop = &self.input.is_stopped;
        match &self.input.source {
            Source::Files(files) => {
                let taken = files.next(&mut self.buffer)?;
                let (buffer, options) = (self.buffer.filled(), files.options());
                Ok(taken.map(|(index, taken)| Block::of_file(index, taken, buffer, options, stop)))
            }
            Source::Texts(texts) => {
                let is_one = texts.next(&mut self.batch)?;
                Ok(is_one.then(|| Block::of_texts(&self.batch, stop)))
            }
        }
    }
}
