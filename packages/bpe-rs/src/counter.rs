//! Texts to the counts of their pretokens, on all threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::count::{CutBy, PretokenCounts, PretokenTable, Spill};
use crate::error::{SpecialTokenError, TrainError};
#[cfg(feature = "python")]
use crate::input::Text;
use crate::input::{FileOptions, FilePart, Input, TextCuts, batches_of};
use crate::pattern::Pattern;
use crate::special::{Segment, SpecialTokens};
use crate::threads::{thread_pool, threads};
use crate::watch::{Stage, Watch};

/// Any character fits, so that a long pretoken can be cut.
const MIN_PRETOKEN_BYTES: usize = 4;

/// Counts the pretokens of texts.
///
/// Texts are cut at special tokens first, then by the pattern. Neither the number of threads nor
/// the blocks that files are read in change a count.
///
/// ```
/// use bpe_rs::Counter;
///
/// let counts = Counter::new(&["<|end|>"])?.count_texts(&["low low<|end|>low"])?;
/// let mut entries = counts.entries()?;
/// assert_eq!(entries.next_entry()?, Some((b" low" as &[u8], 1)));
/// assert_eq!(entries.next_entry()?, Some((b"low" as &[u8], 2)));
/// # Ok::<(), bpe_rs::TrainError>(())
/// ```
#[derive(Debug)]
pub struct Counter {
    special: SpecialTokens,
    pattern: Pattern,
    num_threads: usize,
    max_pretoken_bytes: usize,
    max_memory_bytes: Option<usize>,
    spill_directory: Option<PathBuf>,
    pub(crate) files: FileOptions,
    watch: Arc<Watch>,
    cut_pretokens: AtomicU64,
}

impl Counter {
    /// A counter of the pretokens of GPT-2's pattern.
    ///
    /// # Errors
    ///
    /// [`TrainError::SpecialTokens`] for empty, duplicate and one-byte special tokens.
    pub fn new<S: AsRef<str>>(special_tokens: &[S]) -> Result<Self, TrainError> {
        let special = SpecialTokens::new(special_tokens)?;
        if let Some(token) = special.tokens().iter().find(|token| token.len() == 1) {
            let token = token.clone();
            return Err(SpecialTokenError::SingleByte { token }.into());
        }
        Ok(Self {
            special,
            pattern: Pattern::default(),
            num_threads: 0,
            max_pretoken_bytes: usize::MAX,
            max_memory_bytes: None,
            spill_directory: None,
            files: FileOptions::default(),
            watch: Arc::default(),
            cut_pretokens: AtomicU64::new(0),
        })
    }

    /// Cuts by another pattern.
    #[must_use]
    pub fn pattern(mut self, pattern: Pattern) -> Self {
        self.pattern = pattern;
        self
    }

    /// Counts on so many threads; 0, as at the start, means one a core.
    #[must_use]
    pub fn num_threads(mut self, num_threads: usize) -> Self {
        self.num_threads = num_threads;
        self
    }

    /// Cuts longer pretokens into pieces of at most so many bytes, never inside a character. Fewer
    /// than 4 bytes are taken for 4.
    #[must_use]
    pub fn max_pretoken_bytes(mut self, max_pretoken_bytes: Option<usize>) -> Self {
        let limit = max_pretoken_bytes.unwrap_or(usize::MAX);
        self.max_pretoken_bytes = limit.max(MIN_PRETOKEN_BYTES);
        self
    }

    /// Keeps the counts within about so much memory: what is more goes to files in `directory`, or
    /// in the system's temporary one, which are gone when the counts are dropped.
    #[must_use]
    pub fn max_memory_bytes(mut self, bytes: Option<usize>, directory: Option<&Path>) -> Self {
        self.max_memory_bytes = bytes;
        self.spill_directory = directory.map(Path::to_owned);
        self
    }

    /// The field of each line that is the text, in `.jsonl` files; `"text"` at the start.
    #[must_use]
    pub fn text_field(mut self, text_field: &str) -> Self {
        text_field.clone_into(&mut self.files.text_field);
        self
    }

    /// The most that one compressed file may expand to; as much as it likes at the start.
    #[must_use]
    pub fn max_expanded_bytes(mut self, bytes: Option<u64>) -> Self {
        self.files.max_expanded_bytes = bytes;
        self
    }

    /// The special tokens, in the order given.
    pub fn special_tokens(&self) -> &[String] {
        self.special.tokens()
    }

    /// For another thread: how far the counting is, and the way to end it.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// How many pretokens have been cut because they were too long.
    pub fn cut_pretokens(&self) -> u64 {
        self.cut_pretokens.load(Ordering::Relaxed)
    }

    /// Counts the pretokens of files, each a text of its own; `.jsonl` and `.ndjson` hold one a
    /// line. `.gz` and `.zst` are decompressed.
    ///
    /// Memory is bounded by the distinct pretokens, not by the files.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`], [`TrainError::InvalidUtf8`] and their like name the file and the place;
    /// [`TrainError::Threads`], [`TrainError::CountOverflow`], [`TrainError::Pattern`] and
    /// [`TrainError::Spill`] as they say; [`TrainError::Interrupted`].
    pub fn count_files(&self, paths: &[PathBuf]) -> Result<PretokenCounts, TrainError> {
        let parts: Vec<_> = paths.iter().map(FilePart::from).collect();
        self.count_parts(&parts)
    }

    /// Counts the pretokens of parts of files, each as if it were a file of its own.
    ///
    /// # Errors
    ///
    /// As [`Counter::count_files`], and [`TrainError::NoSuchPart`].
    pub fn count_parts(&self, parts: &[FilePart]) -> Result<PretokenCounts, TrainError> {
        let is_cut = |text: &str, at: usize| self.pattern.is_cut(text, at);
        let cuts = TextCuts {
            is_cut: &is_cut,
            special: &self.special,
        };
        let threads = threads(self.num_threads);
        let input = Input::files(parts, self.files.clone(), cuts, threads, &self.watch)?;
        self.count(&input)
    }

    /// Counts the pretokens of texts in memory.
    ///
    /// # Errors
    ///
    /// As [`Counter::count_files`], but for those about files.
    pub fn count_texts<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
    ) -> Result<PretokenCounts, TrainError> {
        self.count(&Input::texts(batches_of(texts), &self.watch))
    }

    /// Counts the pretokens of texts that are made meanwhile.
    #[cfg(feature = "python")]
    pub(crate) fn count_batches(
        &self,
        batches: impl Iterator<Item = Vec<Text<'static>>> + Send,
    ) -> Result<PretokenCounts, TrainError> {
        let batches = batches.map(|batch| -> Result<Vec<Text<'_>>, TrainError> { Ok(batch) });
        self.count(&Input::texts(batches, &self.watch))
    }

    fn count(&self, input: &Input<'_>) -> Result<PretokenCounts, TrainError> {
        self.watch.begin(Stage::Count, input.total_bytes());
        let num_threads = input.useful_threads(threads(self.num_threads));
        let cut_by = CutBy::new(self.pattern.as_str(), self.special.tokens());
        let directory = self.spill_directory.as_deref();
        let spill = Spill::new(cut_by, self.max_memory_bytes, num_threads, directory);
        let pool = thread_pool(num_threads)?;
        let tables = pool.broadcast(|_| self.count_blocks(input, &spill));
        spill.finish(tables.into_iter().collect::<Result<Vec<_>, _>>()?)
    }

    /// What one thread does.
    fn count_blocks(&self, input: &Input<'_>, spill: &Spill) -> Result<PretokenTable, TrainError> {
        let mut table = PretokenTable::new();
        let mut reader = input.reader();
        let mut count_block = || -> Result<bool, TrainError> {
            let Some(block) = reader.next_block()? else {
                return Ok(false);
            };
            block.for_each_text(|text| self.count_text(text, &mut table))?;
            self.watch.advance(block.bytes_read());
            spill.relieve(&mut table, &self.watch)?;
            Ok(true)
        };
        loop {
            match count_block() {
                Ok(true) => (),
                Ok(false) => return Ok(table),
                Err(error) => {
                    input.stop();
                    return Err(error);
                }
            }
        }
    }

    fn count_text(&self, text: &str, table: &mut PretokenTable) -> Result<(), TrainError> {
        for segment in self.special.split(text) {
            if let Segment::Text(text) = segment {
                self.pattern.ends(text, &mut |start, ends| {
                    self.watch.check()?;
                    self.add_batch(text, start, ends, table)
                })?;
            }
        }
        Ok(())
    }

    fn add_batch(
        &self,
        text: &str,
        start: usize,
        ends: &[usize],
        table: &mut PretokenTable,
    ) -> Result<(), TrainError> {
        let bytes = text.as_bytes();
        if self.max_pretoken_bytes == usize::MAX {
            return table.add_batch(bytes, start, ends);
        }
        table.add_batch(bytes, start, &self.cut_long(text, start, ends))
    }

    /// The ends of a batch, and those of the pieces of pretokens that are too long.
    fn cut_long(&self, text: &str, mut start: usize, ends: &[usize]) -> Vec<usize> {
        let mut pieces = Vec::with_capacity(ends.len());
        for &end in ends {
            if end - start > self.max_pretoken_bytes {
                self.cut_pretokens.fetch_add(1, Ordering::Relaxed);
            }
            while end - start > self.max_pretoken_bytes {
                start = text.floor_char_boundary(start + self.max_pretoken_bytes);
                pieces.push(start);
            }
            pieces.push(end);
            start = end;
        }
        pieces
    }
}
