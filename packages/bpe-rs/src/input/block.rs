//! A block to its texts: what a thread does with what it took, without the others.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use simdutf8::compat::from_utf8;

use super::file::InputFile;
use super::jsonl::JsonLines;
use super::piece::PlainFile;
use super::texts::{Batch, Text};
use super::{FileOptions, Place};
use crate::error::TrainError;

/// Some texts, or a part of one that ends where nothing crosses.
pub(crate) struct Block<'r> {
    content: Content<'r>,
    index: u64,
    bytes_read: u64,
    /// Set on an error, so that the other threads end too.
    stop: &'r AtomicBool,
}

/// A block in a thread's buffer, and where it comes from.
pub(super) struct Taken<'a> {
    pub(super) file: Arc<InputFile>,
    /// Its bytes in the buffer.
    pub(super) range: Range<usize>,
    /// Its first byte in the file, after decompression.
    pub(super) offset: u64,
    /// Its number in the file, and whether it is the last.
    pub(super) block: u64,
    pub(super) is_last: bool,
    pub(super) lines: Lines<'a>,
    /// Bytes of the file as stored.
    pub(super) bytes_read: u64,
}

/// How many lines of the file end before a block.
pub(super) enum Lines<'a> {
    Before(u64),
    /// Nobody has counted them.
    Uncounted(Arc<PlainFile<'a>>),
}

enum Content<'r> {
    File {
        taken: Taken<'r>,
        bytes: &'r [u8],
        options: &'r FileOptions,
    },
    Texts(&'r Batch<'r>),
}

impl<'r> Block<'r> {
    pub(super) fn of_file(
        index: u64,
        taken: Taken<'r>,
        buffer: &'r [u8],
        options: &'r FileOptions,
        stop: &'r AtomicBool,
    ) -> Self {
        Self {
            index,
            bytes_read: taken.bytes_read,
            content: Content::File {
                bytes: &buffer[taken.range.clone()],
                taken,
                options,
            },
            stop,
        }
    }

    pub(super) fn of_texts(batch: &'r Batch<'r>, stop: &'r AtomicBool) -> Self {
        Self {
            index: batch.index,
            bytes_read: batch.texts.iter().map(|text| text.len() as u64).sum(),
            content: Content::Texts(batch),
            stop,
        }
    }

    /// How much of the input this block accounts for: of files, the bytes as they are stored.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Where it stands among all.
    pub(crate) fn place(&self) -> Place {
        let index = self.index;
        match &self.content {
            Content::File { taken, .. } => Place {
                index,
                file: taken.file.number,
                block: taken.block,
                is_last: taken.is_last,
                is_part: !taken.file.is_jsonl,
            },
            Content::Texts(_) => Place {
                index,
                block: index,
                ..Place::default()
            },
        }
    }

    /// Hands over each text; no pretoken crosses from one to the next.
    ///
    /// # Errors
    ///
    /// [`TrainError::InvalidUtf8`] and its like, those of JSON lines, and what `take` returns.
    pub(crate) fn for_each_text(
        &self,
        mut take: impl FnMut(&str) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let taken = match &self.content {
            Content::Texts(batch) => batch.for_each_text(&mut take),
            Content::File {
                taken,
                bytes,
                options,
            } => taken.for_each_text(bytes, options, &mut take),
        };
        if taken.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        taken
    }
}

impl Batch<'_> {
    fn for_each_text(
        &self,
        take: &mut impl FnMut(&str) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        for (index, text) in (self.first..).zip(&self.texts) {
            match text {
                Text::Str(text) => take(text)?,
                Text::Bytes(bytes) => take(from_utf8(bytes).map_err(|error| {
                    let offset = error.valid_up_to();
                    TrainError::InvalidUtf8Text { index, offset }
                })?)?,
            }
        }
        Ok(())
    }
}

impl Taken<'_> {
    fn for_each_text(
        &self,
        bytes: &[u8],
        options: &FileOptions,
        take: &mut impl FnMut(&str) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let text = from_utf8(bytes).map_err(|error| TrainError::InvalidUtf8 {
            path: self.file.path.clone(),
            offset: self.offset + error.valid_up_to() as u64,
            decompressed: self.file.compression.is_some(),
        })?;
        match (self.file.is_jsonl, text.is_empty()) {
            (_, true) => Ok(()),
            (false, _) => take(text),
            (true, _) => JsonLines::new(self, options).for_each_text(text, take),
        }
    }
}
