//! Files to blocks of text, cut only where no pretoken can cross.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::iter;
use std::path::{Path, PathBuf};
use std::slice;

use flate2::bufread::MultiGzDecoder;

use crate::error::TrainError;
use crate::pretokenize::is_white_space_at;
use crate::special::SpecialTokens;
use crate::watch::Watch;

/// Reads files one after the other, as blocks of about `block_bytes`.
///
/// A block ends before a space or a special token's end, or with its file; it grows until it can.
pub(crate) struct Blocks<'a> {
    paths: slice::Iter<'a, PathBuf>,
    file: Option<TextFile<'a>>,
    special: &'a SpecialTokens,
    block_bytes: usize,
    watch: &'a Watch,
    failed: bool,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(
        paths: &'a [PathBuf],
        special: &'a SpecialTokens,
        block_bytes: usize,
        watch: &'a Watch,
    ) -> Self {
        Self {
            paths: paths.iter(),
            file: None,
            special,
            block_bytes,
            watch,
            failed: false,
        }
    }

    fn next_block(&mut self) -> Result<Option<String>, TrainError> {
        loop {
            self.watch.check()?;
            let file = match (&mut self.file, self.paths.as_slice()) {
                (Some(file), _) => file,
                (None, []) => return Ok(None),
                (None, [path, ..]) => {
                    self.paths.next();
                    self.file.insert(TextFile::open(path)?)
                }
            };
            if let Some(block) = file.next_block(self.special, self.block_bytes)? {
                return Ok(Some(block));
            }
            self.file = None;
        }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<String, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let block = self.next_block();
        self.failed = block.is_err();
        block.transpose()
    }
}

/// A file being read; `.gz` is decompressed on the way.
struct TextFile<'a> {
    path: &'a Path,
    reader: Box<dyn Read + Send>,
    is_compressed: bool,
    has_ended: bool,
    /// What was read and not yet given out.
    buffer: Vec<u8>,
    /// Bytes given out.
    offset: u64,
}

impl<'a> TextFile<'a> {
    fn open(path: &'a Path) -> Result<Self, TrainError> {
        let file = File::open(path).map_err(|source| io_error(path, source))?;
        let is_compressed = path.extension().is_some_and(|extension| extension == "gz");
        let reader: Box<dyn Read + Send> = if is_compressed {
            Box::new(MultiGzDecoder::new(BufReader::new(file)))
        } else {
            Box::new(file)
        };
        Ok(Self {
            path,
            reader,
            is_compressed,
            has_ended: false,
            buffer: Vec::new(),
            offset: 0,
        })
    }

    fn next_block(
        &mut self,
        special: &SpecialTokens,
        block_bytes: usize,
    ) -> Result<Option<String>, TrainError> {
        let mut wanted = block_bytes.max(1);
        loop {
            self.fill(wanted)?;
            let text = self.valid_text()?;
            let cut = if self.has_ended {
                Some(text.len())
            } else {
                last_cut(text, special)
            };
            if let Some(cut) = cut {
                let block = text[..cut].to_owned();
                self.buffer.drain(..cut);
                self.offset += cut as u64;
                return Ok((!block.is_empty()).then_some(block));
            }
            wanted = self.buffer.len().max(wanted).saturating_mul(2);
        }
    }

    fn fill(&mut self, wanted: usize) -> Result<(), TrainError> {
        let missing = wanted.saturating_sub(self.buffer.len()) as u64;
        let read = self
            .reader
            .by_ref()
            .take(missing)
            .read_to_end(&mut self.buffer);
        let read = read.map_err(|source| io_error(self.path, source))?;
        self.has_ended |= (read as u64) < missing;
        Ok(())
    }

    /// The buffer but for the beginning of a character that the next read will complete.
    fn valid_text(&self) -> Result<&str, TrainError> {
        let Some(chunk) = self.buffer.utf8_chunks().next() else {
            return Ok("");
        };
        let (valid, invalid) = (chunk.valid(), chunk.invalid());
        let is_last = valid.len() + invalid.len() == self.buffer.len();
        if invalid.is_empty() || (is_last && !self.has_ended) {
            return Ok(valid);
        }
        Err(TrainError::InvalidUtf8 {
            path: self.path.to_owned(),
            offset: self.offset + valid.len() as u64,
            decompressed: self.is_compressed,
        })
    }
}

fn io_error(path: &Path, source: io::Error) -> TrainError {
    TrainError::Io {
        path: path.to_owned(),
        source,
    }
}

/// The last byte of `text`, which goes on, where cutting it in two changes no pretoken.
fn last_cut(text: &str, special: &SpecialTokens) -> Option<usize> {
    last_space(text, special).or_else(|| last_special_end(text, special))
}

/// Before the last character of a run of white space that a pretoken follows: the run is cut there
/// in any case, and would be if the text ended or began there. (Not after that character: the
/// pattern cuts "\r\n" in two before a word, but leaves it whole at the end of a text.)
fn last_space(text: &str, special: &SpecialTokens) -> Option<usize> {
    // So much text must follow a cut that no special token near it is overlooked.
    let margin = 1 + special.max_length().max(1);
    let limit = text.len().saturating_sub(margin);
    let is_space = |cut: &usize| matches!(text.as_bytes()[*cut], b' ' | b'\n');
    let mut spaces = (1..=limit).rev().filter(is_space);
    spaces.find(|&cut| !is_white_space_at(text, cut + 1) && !special.touches(text, cut))
}

fn last_special_end(text: &str, special: &SpecialTokens) -> Option<usize> {
    let limit = text.len().saturating_sub(special.max_length());
    let end_from = |at: &usize| special.find(text, *at).map(|(_, _, end)| end);
    iter::successors(end_from(&0), end_from)
        .take_while(|&end| end <= limit)
        .last()
}
