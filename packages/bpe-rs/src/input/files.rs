//! Which file is read next, and by which thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::FileOptions;
use super::block::Taken;
use super::buffer::Buffer;
use super::cut::{Cuts, TextCuts};
use super::file::InputFile;
use super::piece::PlainFile;
use super::stream::Stream;
use crate::error::TrainError;
use crate::watch::Watch;

/// Files being read by several threads at once.
pub(super) struct Files<'a> {
    files: Vec<Arc<InputFile>>,
    options: FileOptions,
    cuts: TextCuts<'a>,
    watch: &'a Watch,
    turn: Mutex<Turn<'a>>,
    /// A stream lent to a thread is back, or has ended.
    is_back: Condvar,
}

/// How far the files are.
#[derive(Default)]
struct Turn<'a> {
    /// Blocks given out.
    count: u64,
    next_file: usize,
    /// The plain file whose turn it is, and its next piece.
    plain: Option<(Arc<PlainFile<'a>>, u64)>,
    /// Streams that no thread reads at the moment.
    idle: Vec<Stream<'a>>,
    /// How many streams threads do read.
    lent: usize,
}

/// What one thread reads next.
#[expect(clippy::large_enum_variant, reason = "one at a time, and for a moment")]
enum Task<'f, 'a> {
    Piece(Arc<PlainFile<'a>>, u64),
    Stream(Stream<'a>, Loan<'f, 'a>),
}

impl<'a> Files<'a> {
    pub(super) fn new(
        files: Vec<InputFile>,
        options: FileOptions,
        cuts: TextCuts<'a>,
        watch: &'a Watch,
    ) -> Self {
        Self {
            files: files.into_iter().map(Arc::new).collect(),
            options,
            cuts,
            watch,
            turn: Mutex::default(),
            is_back: Condvar::new(),
        }
    }

    pub(super) fn options(&self) -> &FileOptions {
        &self.options
    }

    /// The sizes of the files as stored; 0 where one has none.
    pub(super) fn total_bytes(&self) -> u64 {
        let sizes: Option<Vec<u64>> = self.files.iter().map(|file| file.size).collect();
        sizes.unwrap_or_default().iter().sum()
    }

    pub(super) fn max_blocks(&self) -> usize {
        let block_bytes = self.options.block_bytes as u64;
        let blocks_of = |file: &Arc<InputFile>| match file.size {
            Some(size) if file.is_plain() => size.div_ceil(block_bytes),
            Some(0) => 1,
            _ => u64::MAX, // what it expands to is not known
        };
        let blocks = self
            .files
            .iter()
            .map(blocks_of)
            .fold(0, u64::saturating_add);
        usize::try_from(blocks).unwrap_or(usize::MAX)
    }

    /// Reads the next block into `buffer`, and says its place among all.
    pub(super) fn next(&self, buffer: &mut Buffer) -> Result<Option<(u64, Taken<'a>)>, TrainError> {
        let Some((index, task)) = self.next_task()? else {
            return Ok(None);
        };
        let taken = match task {
            Task::Piece(plain, index) => plain.read(index, buffer)?,
            Task::Stream(stream, loan) => loan.next_block(stream, buffer)?,
        };
        Ok(Some((index, taken)))
    }

    /// A stream that nobody reads, the next file, or, when others read what is left, what they
    /// give back.
    fn next_task(&self) -> Result<Option<(u64, Task<'_, 'a>)>, TrainError> {
        let mut turn = self.lock();
        loop {
            if let Some(stream) = turn.idle.pop() {
                turn.lent += 1;
                let loan = Loan {
                    files: self,
                    stream: None,
                };
                return Ok(Some((turn.next_index(), Task::Stream(stream, loan))));
            }
            if let Some((plain, index)) = turn.next_piece() {
                return Ok(Some((turn.next_index(), Task::Piece(plain, index))));
            }
            let may_open = turn.lent == 0 || !self.options.in_order;
            match self.files.get(turn.next_file) {
                Some(file) if may_open => {
                    turn.next_file += 1;
                    self.open(file, &mut turn)?;
                }
                _ if turn.lent == 0 => return Ok(None),
                _ => {
                    let waited = self.is_back.wait(turn);
                    turn = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn open(&self, file: &Arc<InputFile>, turn: &mut Turn<'a>) -> Result<(), TrainError> {
        let (options, watch) = (&self.options, self.watch);
        let cuts = match file.is_jsonl {
            true => Cuts::Lines(options.max_line_bytes),
            false => Cuts::Text(self.cuts),
        };
        let first_block = match file.number {
            0 => options.first_block,
            _ => 0,
        };
        if file.is_plain() {
            let plain = PlainFile::open(Arc::clone(file), options.block_bytes, cuts, watch)?;
            let plain = (first_block < plain.num_pieces()).then_some(plain);
            turn.plain = plain.map(|plain| (Arc::new(plain), first_block));
        } else {
            let mut stream = Stream::open(Arc::clone(file), options, cuts, watch)?;
            let mut buffer = Buffer::default();
            for _ in 0..first_block {
                stream.next_block(&mut buffer)?;
            }
            turn.idle.push(stream);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Turn<'a>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Turn<'a> {
    fn next_index(&mut self) -> u64 {
        self.count += 1;
        self.count - 1
    }

    fn next_piece(&mut self) -> Option<(Arc<PlainFile<'a>>, u64)> {
        let (plain, next) = self.plain.as_mut()?;
        let piece = (Arc::clone(plain), *next);
        *next += 1;
        if *next >= plain.num_pieces() {
            self.plain = None;
        }
        Some(piece)
    }
}

/// That a stream is in the hands of one thread. The loan ends in any case, so that no thread waits
/// for ever for one that panicked.
struct Loan<'f, 'a> {
    files: &'f Files<'a>,
    /// What is given back: a stream that has ended, failed or panicked is not read again.
    stream: Option<Stream<'a>>,
}

impl<'a> Loan<'_, 'a> {
    fn next_block(
        mut self,
        mut stream: Stream<'a>,
        buffer: &mut Buffer,
    ) -> Result<Taken<'a>, TrainError> {
        let taken = stream.next_block(buffer)?;
        self.stream = (!stream.has_ended()).then_some(stream);
        Ok(taken)
    }
}

impl Drop for Loan<'_, '_> {
    fn drop(&mut self) {
        let mut turn = self.files.lock();
        turn.lent -= 1;
        turn.idle.extend(self.stream.take());
        self.files.is_back.notify_all();
    }
}
