//! Files to token ids: blocks on several threads, their ids in the order of the text.
//!
//! Each thread takes a block of a file that is cut where no token crosses (`input/`), and encodes
//! it; [`InOrder`] puts the blocks in their order again. Nothing is held but a few of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::in_order::InOrder;
use super::{BpeEncoder, SpecialIds, TokenCache};
use crate::error::{PatternError, TrainError};
use crate::input::{Block, FileOptions, FilePart, Input, Place, TextCuts};
use crate::threads::{thread_pool, threads};
use crate::watch::{Stage, Watch};

/// So many blocks a thread may wait for one before them: 128 kB each, as ids of two bytes.
const AHEAD_A_THREAD: usize = 4;
/// Nobody is waited for so long; it only has to be said.
const LONG: Duration = Duration::from_secs(3600);

/// Encodes files, or what an iterator gives, with a [`BpeEncoder`].
///
/// The ids of a text file are those of [`BpeEncoder::encode`] for all its text; no token crosses from
/// one file to the next, nor from one document to the next.
///
/// ```
/// use bpe_rs::{BpeEncoder, FilesEncoder, TokenIds};
///
/// let bytes = (0..=255).map(|byte: u8| (u32::from(byte), vec![byte]));
/// let encoder = BpeEncoder::new(bytes, &[] as &[(&[u8], &[u8])], &[("<|end|>".to_owned(), 256)])?;
/// let path = std::env::temp_dir().join("bpe_rs_doc.jsonl");
/// std::fs::write(&path, "{\"text\": \"ab\"}\n{\"text\": \"c\"}\n")?;
///
/// let mut token_ids = Vec::new();
/// FilesEncoder::new(&encoder).row_separator(Some(256)).encode(&[path], |block| {
///     if let TokenIds::Narrow(ids) = block.token_ids {
///         token_ids.extend(ids);
///     }
///     Ok(())
/// })?;
/// assert_eq!(token_ids, [97, 98, 256, 99, 256]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FilesEncoder<'e> {
    encoder: &'e BpeEncoder,
    special: SpecialIds,
    num_threads: usize,
    row_separator: Option<u32>,
    file_separator: Option<u32>,
    files: FileOptions,
    watch: Arc<Watch>,
}

/// The token ids of a block of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBlock {
    /// The ids.
    pub token_ids: TokenIds,
    /// Bytes of text that they stand for, without separators put in.
    pub byte_count: u64,
    /// Where separators were put in: their places among the ids.
    pub separators: Vec<usize>,
    /// The file, among those that were to be encoded.
    pub file: usize,
    /// The number of the block in the file.
    pub block: u64,
}

/// Ids in the smaller type that holds all of a vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenIds {
    /// All are below 65,536.
    Narrow(Vec<u16>),
    /// Any.
    Wide(Vec<u32>),
}

impl TokenIds {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Narrow(ids) => ids.len(),
            Self::Wide(ids) => ids.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn last(&self) -> Option<u32> {
        match self {
            Self::Narrow(ids) => ids.last().map(|&id| id.into()),
            Self::Wide(ids) => ids.last().copied(),
        }
    }

    fn push(&mut self, token_id: u32) {
        match self {
            Self::Narrow(ids) => ids.push(token_id as u16),
            Self::Wide(ids) => ids.push(token_id),
        }
    }
}

impl<'e> FilesEncoder<'e> {
    /// Recognises all special tokens, puts nothing between documents, and uses all cores.
    pub fn new(encoder: &'e BpeEncoder) -> Self {
        Self {
            encoder,
            special: encoder.all_special().clone(),
            num_threads: 0,
            row_separator: None,
            file_separator: None,
            files: FileOptions {
                in_order: true,
                ..FileOptions::default()
            },
            watch: Arc::default(),
        }
    }

    /// Recognises only the special tokens chosen by [`BpeEncoder::special`].
    #[must_use]
    pub fn special(self, special: SpecialIds) -> Self {
        Self { special, ..self }
    }

    /// Encodes on so many threads; 0 means one a core.
    #[must_use]
    pub fn num_threads(self, num_threads: usize) -> Self {
        Self {
            num_threads,
            ..self
        }
    }

    /// Puts this id after each text that is a row of its file and does not end with it.
    #[must_use]
    pub fn row_separator(self, row_separator: Option<u32>) -> Self {
        Self {
            row_separator,
            ..self
        }
    }

    /// Puts this id after each text file that does not end with it.
    #[must_use]
    pub fn file_separator(self, file_separator: Option<u32>) -> Self {
        Self {
            file_separator,
            ..self
        }
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

    /// Leaves out so many blocks of the first file, which are the same in every run over it.
    #[must_use]
    pub fn first_block(mut self, first_block: u64) -> Self {
        self.files.first_block = first_block;
        self
    }

    #[cfg(test)]
    pub(super) fn block_bytes(mut self, block_bytes: usize) -> Self {
        self.files.block_bytes = block_bytes;
        self
    }

    /// For another thread: how far the encoding is, and the way to end it.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// Encodes files, each a text of its own; `.jsonl` and `.ndjson` hold one a line. `.gz` and
    /// `.zst` are decompressed. `take` gets the ids in order, on this thread.
    ///
    /// # Errors
    ///
    /// Those of reading files, as of [`crate::Counter::count_files`]: of several, the one that comes
    /// first in the files; [`TrainError::Pattern`]; what `take` returns.
    pub fn encode(
        &self,
        paths: &[PathBuf],
        take: impl FnMut(EncodedBlock) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let parts: Vec<_> = paths.iter().map(FilePart::from).collect();
        self.encode_parts(&parts, take)
    }

    /// Encodes parts of files, each as if it were a file of its own.
    ///
    /// # Errors
    ///
    /// As [`FilesEncoder::encode`], and [`TrainError::NoSuchPart`].
    pub fn encode_parts(
        &self,
        parts: &[FilePart],
        mut take: impl FnMut(EncodedBlock) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let is_cut = self.is_cut();
        let input = self.input(parts, &is_cut)?;
        let queue = self.queue();
        thread::scope(|scope| {
            let encoding = scope.spawn(|| self.encode_input(&input, &queue));
            let taken = {
                let _closed = queue.close_on_drop();
                let mut ends = self.ends();
                let mut blocks = std::iter::from_fn(|| queue.take(LONG).ok());
                blocks.try_for_each(|(place, block)| take(ends.finish(place, block)))
            };
            let encoded = match encoding.join() {
                Ok(encoded) => encoded,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            taken.and(encoded)
        })
    }

    pub(crate) fn is_cut(&self) -> impl Fn(&str, usize) -> bool + Sync {
        |text: &str, at: usize| self.encoder.pattern.is_cut(text, at)
    }

    /// The files, looked at; they are cut by [`FilesEncoder::is_cut`].
    pub(crate) fn input<'a>(
        &'a self,
        parts: &[FilePart],
        is_cut: &'a (dyn Fn(&str, usize) -> bool + Sync),
    ) -> Result<Input<'a>, TrainError> {
        let special = &self.special.finder;
        let cuts = TextCuts { is_cut, special };
        let threads = threads(self.num_threads);
        Input::files(parts, self.files.clone(), cuts, threads, &self.watch)
    }

    /// For what [`FilesEncoder::encode_input`] makes.
    pub(crate) fn queue(&self) -> InOrder<(Place, EncodedBlock)> {
        InOrder::new(AHEAD_A_THREAD * threads(self.num_threads))
    }

    /// For what comes out of the queue.
    pub(crate) fn ends(&self) -> FileEnds {
        FileEnds {
            separator: self.file_separator,
            last: None,
        }
    }

    /// Encodes on all threads, until all is in the queue or it is closed.
    pub(crate) fn encode_input(
        &self,
        input: &Input<'_>,
        queue: &InOrder<(Place, EncodedBlock)>,
    ) -> Result<(), TrainError> {
        let _closed = queue.close_on_drop();
        self.watch.begin(Stage::Count, input.total_bytes());
        let pool = thread_pool(input.useful_threads(threads(self.num_threads)))?;
        let worked = pool.broadcast(|_| {
            let closed = queue.close_on_drop();
            let worked = self
                .encoder
                .with_cache(|cache| self.work(input, queue, cache));
            if worked.is_ok() {
                std::mem::forget(closed); // the others go on
            }
            worked
        });
        // The first in the text, whichever thread was first to come upon its own.
        let failures = worked.into_iter().filter_map(Result::err);
        match failures.min_by_key(|(index, _)| *index) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// What one thread does. An error comes with the place of its block.
    fn work(
        &self,
        input: &Input<'_>,
        queue: &InOrder<(Place, EncodedBlock)>,
        cache: &mut TokenCache,
    ) -> Result<(), (u64, TrainError)> {
        let (mut reader, mut token_ids) = (input.reader(), Vec::new());
        let is_narrow = self.max_token_id() <= u32::from(u16::MAX);
        while let Some(block) = reader.next_block().map_err(|error| (u64::MAX, error))? {
            let index = block.place().index;
            let encoded = self.encode_block(&block, is_narrow, cache, &mut token_ids);
            let encoded = encoded.map_err(|error| {
                input.stop();
                (index, error)
            })?;
            self.watch.advance(block.bytes_read());
            if !queue.put(index, (block.place(), encoded)) {
                break;
            }
        }
        Ok(())
    }

    fn encode_block(
        &self,
        block: &Block<'_>,
        is_narrow: bool,
        cache: &mut TokenCache,
        token_ids: &mut Vec<u32>,
    ) -> Result<EncodedBlock, TrainError> {
        token_ids.clear();
        let (mut byte_count, mut separators) = (0, Vec::new());
        let separator = self.row_separator.filter(|_| !block.place().is_part);
        block.for_each_text(|text| {
            self.watch.check()?;
            let start = token_ids.len();
            self.encode_text(text, cache, token_ids)?;
            byte_count += text.len() as u64;
            if let Some(separator) = separator
                && token_ids[start..].last() != Some(&separator)
            {
                separators.push(token_ids.len());
                token_ids.push(separator);
            }
            Ok(())
        })?;
        let Place { file, block, .. } = block.place();
        Ok(EncodedBlock {
            token_ids: match is_narrow {
                true => TokenIds::Narrow(token_ids.iter().map(|&id| id as u16).collect()),
                false => TokenIds::Wide(token_ids.clone()),
            },
            byte_count,
            separators,
            file,
            block,
        })
    }

    fn encode_text(
        &self,
        text: &str,
        cache: &mut TokenCache,
        token_ids: &mut Vec<u32>,
    ) -> Result<(), PatternError> {
        self.encoder
            .encode_into(text, &self.special, cache, token_ids)
    }

    /// The highest id that may be given.
    fn max_token_id(&self) -> u32 {
        let separators = [self.row_separator, self.file_separator];
        let separators = separators.into_iter().flatten();
        separators.fold(self.encoder.max_token_id(), u32::max)
    }
}

/// Puts separators after text files, which are known to end only when their last block comes.
pub(crate) struct FileEnds {
    separator: Option<u32>,
    /// The last id of the file so far.
    last: Option<u32>,
}

impl FileEnds {
    /// Takes the blocks in their order.
    pub(crate) fn finish(&mut self, place: Place, mut block: EncodedBlock) -> EncodedBlock {
        self.last = block.token_ids.last().or(self.last);
        if place.is_last {
            let last = self.last.take();
            if let Some(separator) = self.separator
                && place.is_part
                && last != Some(separator)
            {
                block.separators.push(block.token_ids.len());
                block.token_ids.push(separator);
            }
        }
        block
    }
}
