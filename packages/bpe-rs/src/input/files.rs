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
    next_file: usize,
    /// The plain file whose turn it is, and its next piece.
    plain: Option<(Arc<PlainFile<'a>>, u64)>,
    /// Streams that no thread reads at the moment.
    idle: Vec<Stream<'a>>,
    /// How many streams threads do read.
    lent: usize,
}

/// What one thread reads next.
enum Task<'f, 'a> {
    Piece(Arc<PlainFile<'a>>, u64),
    Stream(Loan<'f, 'a>),
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

    /// Reads the next block into `buffer`.
    pub(super) fn next(&self, buffer: &mut Buffer) -> Result<Option<Taken<'a>>, TrainError> {
        while let Some(task) = self.next_task()? {
            let taken = match task {
                Task::Piece(plain, index) => plain.read(index, buffer)?,
                Task::Stream(mut loan) => loan.next_block(buffer)?,
            };
            if taken.is_some() {
                return Ok(taken);
            }
        }
        Ok(None)
    }

    /// A stream that nobody reads, the next file, or, when others read what is left, what they
    /// give back.
    fn next_task(&self) -> Result<Option<Task<'_, 'a>>, TrainError> {
        let mut turn = self.lock();
        loop {
            if let Some(stream) = turn.idle.pop() {
                return Ok(Some(Task::Stream(self.lend(&mut turn, stream))));
            }
            if let Some((plain, index)) = turn.next_piece() {
                return Ok(Some(Task::Piece(plain, index)));
            }
            if let Some(file) = self.files.get(turn.next_file) {
                turn.next_file += 1;
                self.open(file, &mut turn)?;
            } else if turn.lent == 0 {
                return Ok(None);
            } else {
                let waited = self.is_back.wait(turn);
                turn = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn open(&self, file: &Arc<InputFile>, turn: &mut Turn<'a>) -> Result<(), TrainError> {
        let (options, watch) = (&self.options, self.watch);
        let cuts = match file.is_jsonl {
            true => Cuts::Lines(options.max_line_bytes),
            false => Cuts::Text(self.cuts),
        };
        if file.is_plain() {
            let plain = PlainFile::open(Arc::clone(file), options.block_bytes, cuts, watch)?;
            turn.plain = Some((Arc::new(plain), 0));
        } else {
            let stream = Stream::open(Arc::clone(file), options, cuts, watch)?;
            turn.idle.push(stream);
        }
        Ok(())
    }

    fn lend(&self, turn: &mut Turn<'a>, stream: Stream<'a>) -> Loan<'_, 'a> {
        turn.lent += 1;
        Loan {
            files: self,
            stream: Some(stream),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turn<'a>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Turn<'a> {
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

/// A stream in the hands of one thread. It comes back in any case, so that no thread waits for
/// ever for one that panicked.
struct Loan<'f, 'a> {
    files: &'f Files<'a>,
    /// None when it has ended.
    stream: Option<Stream<'a>>,
}

impl<'a> Loan<'_, 'a> {
    fn next_block(&mut self, buffer: &mut Buffer) -> Result<Option<Taken<'a>>, TrainError> {
        // Out of the loan while it is read: one that fails or panics is not read again.
        let Some(mut stream) = self.stream.take() else {
            return Ok(None);
        };
        let taken = stream.next_block(buffer)?;
        if !stream.has_ended() {
            self.stream = Some(stream);
        }
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
