//! From files or texts to a vocabulary: counting on all threads, then merging.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::ThreadPoolBuilder;
use rayon::iter::{ParallelBridge, ParallelIterator};

use crate::count::PretokenCounts;
use crate::error::{SpecialTokenError, TrainError};
use crate::input::Blocks;
use crate::merge::{MergeOptions, Pair, Words, learn_merges};
use crate::special::SpecialTokens;
use crate::watch::{Stage, Watch};

/// Every vocabulary starts with the 256 single bytes.
const BYTE_TOKENS: usize = 256;
/// Small enough that two threads share a small file, large enough that cutting costs nothing.
const BLOCK_BYTES: usize = 1 << 20;
/// More threads than this never help, and starting many thousands takes a machine down.
const MAX_THREADS: usize = 256;

/// What training learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// The bytes of each token, by id: special tokens, the 256 bytes, one token for each merge.
    pub tokens: Vec<Vec<u8>>,
    /// The ids of left and right side of each merge, in the order learned.
    pub merges: Vec<(u32, u32)>,
}

/// Learns byte-level BPE vocabularies (Sennrich et al. 2016, <https://arxiv.org/abs/1508.07909>;
/// on bytes, Radford et al. 2019).
///
/// Each merge joins the most frequent pair of adjacent tokens; of equally frequent pairs, the one
/// with the lexicographically greater (left bytes, right bytes). No pretoken crosses a special
/// token. The number of threads never changes the result.
#[derive(Clone, Debug)]
pub struct Trainer {
    special: SpecialTokens,
    max_merges: usize,
    num_threads: usize,
    block_bytes: usize,
    watch: Arc<Watch>,
}

impl Trainer {
    /// A trainer for up to `vocab_size` tokens, which count special tokens, bytes and merges.
    ///
    /// # Errors
    ///
    /// [`TrainError::VocabTooSmall`] if special tokens and bytes alone exceed `vocab_size`;
    /// [`TrainError::SpecialTokens`] for empty, duplicate and one-byte special tokens.
    pub fn new<S: AsRef<str>>(vocab_size: usize, special_tokens: &[S]) -> Result<Self, TrainError> {
        let special = SpecialTokens::new(special_tokens)?;
        if let Some(token) = special.tokens().iter().find(|token| token.len() == 1) {
            return Err(SpecialTokenError::SingleByte {
                token: token.clone(),
            }
            .into());
        }
        Ok(Self {
            special,
            max_merges: merge_count(vocab_size, special_tokens.len())?,
            num_threads: 0,
            block_bytes: BLOCK_BYTES,
            watch: Arc::default(),
        })
    }

    /// Counts on so many threads; 0, as at the start, means one a core.
    #[must_use]
    pub fn num_threads(mut self, num_threads: usize) -> Self {
        self.num_threads = num_threads.min(MAX_THREADS);
        self
    }

    /// For another thread: how far the training is, and the way to end it.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// Learns from UTF-8 files, each a text of its own; one ending in `.gz` is decompressed.
    ///
    /// Memory is bounded by the distinct pretokens, not by the files.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] and [`TrainError::InvalidUtf8`] name the file;
    /// [`TrainError::NoText`] if there is nothing but special tokens;
    /// [`TrainError::Threads`], [`TrainError::CountOverflow`], [`TrainError::TooMany`] as they say.
    pub fn train_files(&self, paths: &[PathBuf]) -> Result<Vocabulary, TrainError> {
        for path in paths {
            // All of them first: the last one missing should not be found out after hours.
            File::open(path).map_err(|source| TrainError::Io {
                path: path.clone(),
                source,
            })?;
        }
        self.train(Blocks::new(
            paths,
            &self.special,
            self.block_bytes,
            &self.watch,
        ))
    }

    /// Learns from texts in memory.
    ///
    /// # Errors
    ///
    /// As [`Trainer::train_files`], but for those about files.
    pub fn train_texts<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vocabulary, TrainError> {
        self.train(texts.iter().map(|text| Ok(text.as_ref())))
    }

    fn train<B, I>(&self, blocks: I) -> Result<Vocabulary, TrainError>
    where
        B: AsRef<str> + Send,
        I: Iterator<Item = Result<B, TrainError>> + Send,
    {
        self.watch.begin(Stage::Count, 0);
        let counts = self.count(blocks)?;
        if counts.is_empty() {
            return Err(TrainError::NoText);
        }
        let mut words = Words::new();
        for (pretoken, count) in counts.iter() {
            words.push(pretoken, count)?;
        }
        drop(counts);
        let options = MergeOptions::new(self.max_merges);
        let learned = learn_merges(words, &[], &options, &self.watch)?;
        if learned.was_interrupted {
            return Err(TrainError::Interrupted);
        }
        self.vocabulary(&learned.merges)
    }

    /// Puts the special tokens before the bytes and the merged tokens, which moves all ids.
    fn vocabulary(&self, merges: &[Pair]) -> Result<Vocabulary, TrainError> {
        let special = self
            .special
            .tokens()
            .iter()
            .map(|token| token.clone().into_bytes());
        let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
        let mut tokens: Vec<Vec<u8>> = special.chain(bytes).collect();
        let first = tokens.len() - BYTE_TOKENS;
        for &(left, right) in merges {
            let [left, right] = [left, right].map(|id| &tokens[first + id as usize]);
            tokens.push([left.as_slice(), right].concat());
        }
        if u32::try_from(tokens.len()).is_err() {
            return Err(TrainError::TooMany { what: "tokens" });
        }
        let shift = |id: u32| id + first as u32;
        let merges = merges
            .iter()
            .map(|&(left, right)| (shift(left), shift(right)))
            .collect();
        Ok(Vocabulary { tokens, merges })
    }

    fn count<B, I>(&self, blocks: I) -> Result<PretokenCounts, TrainError>
    where
        B: AsRef<str> + Send,
        I: Iterator<Item = Result<B, TrainError>> + Send,
    {
        let num_threads = self.num_threads;
        let pool = ThreadPoolBuilder::new().num_threads(num_threads).build();
        let pool = pool.map_err(|source| TrainError::Threads {
            num_threads,
            source,
        })?;
        pool.install(|| {
            blocks
                .par_bridge()
                .try_fold(PretokenCounts::default, |mut counts, block| {
                    let block = block?;
                    counts.update(block.as_ref(), &self.special)?;
                    self.watch.advance(block.as_ref().len() as u64);
                    Ok(counts)
                })
                .try_reduce(PretokenCounts::default, PretokenCounts::merge)
        })
    }
}

/// How many merges a vocabulary of `vocab_size` leaves to learn.
fn merge_count(vocab_size: usize, special_tokens: usize) -> Result<usize, TrainError> {
    let minimum = BYTE_TOKENS + special_tokens;
    let requested = vocab_size;
    vocab_size
        .checked_sub(minimum)
        .ok_or(TrainError::VocabTooSmall { requested, minimum })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::naive;

    /// Parts of one another, and some with white space inside.
    const SPECIAL: [&str; 5] = ["<|>", "<|><|>", "b\na", "  b", "é|"];
    const TEXT: &str = "[ab <|>é'\r\n\u{3000}]{0,40}";

    fn merges(vocabulary: &Vocabulary) -> Vec<naive::Merge> {
        let token = |id: u32| vocabulary.tokens[id as usize].clone();
        vocabulary
            .merges
            .iter()
            .map(|&(left, right)| (token(left), token(right)))
            .collect()
    }

    fn write_files(directory: &std::path::Path, texts: &[String]) -> Vec<PathBuf> {
        let paths = (0..texts.len()).map(|index| directory.join(index.to_string()));
        let write = |(path, text): (PathBuf, &String)| {
            let mut file = File::create(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            path
        };
        paths.zip(texts).map(write).collect()
    }

    proptest! {
        #[test]
        fn merges_are_those_of_the_definition(texts in prop::collection::vec(TEXT, 1..6)) {
            let trainer = Trainer::new(256 + SPECIAL.len() + 12, &SPECIAL).unwrap();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let theirs = naive::merges(&texts, &SPECIAL, 12);
            match trainer.train_texts(&texts) {
                Ok(ours) => prop_assert_eq!(merges(&ours), theirs),
                Err(error) => {
                    prop_assert!(matches!(error, TrainError::NoText));
                    prop_assert_eq!(theirs, []);
                }
            }
        }

        #[test]
        fn neither_blocks_nor_threads_change_the_merges(
            texts in prop::collection::vec(TEXT, 1..6),
            block_bytes in 1..50_usize,
            num_threads in 1..8_usize,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let paths = write_files(directory.path(), &texts);
            let mut trainer = Trainer::new(300, &SPECIAL).unwrap();
            let whole = trainer.train_texts(&texts).ok();
            trainer = trainer.num_threads(num_threads);
            trainer.block_bytes = block_bytes;
            prop_assert_eq!(trainer.train_files(&paths).ok(), whole);
        }
    }

    #[test]
    fn blocks_stay_small_where_spaces_or_special_tokens_allow_it() {
        let directory = tempfile::tempdir().unwrap();
        let texts = ["word\r\n".repeat(1000), "word<|>".repeat(1000)];
        let paths = write_files(directory.path(), &texts);
        let special = SpecialTokens::new(&SPECIAL).unwrap();
        let blocks = Blocks::new(&paths, &special, 100, &Watch::default())
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        assert_eq!(blocks.concat(), texts.concat());
        assert!(blocks.iter().all(|block| block.len() <= 100));
    }

    #[test]
    fn an_interrupted_training_says_so() {
        let trainer = Trainer::new(300, &SPECIAL).unwrap();
        trainer.watch().interrupt();
        let error = trainer.train_texts(&["two words"]).unwrap_err();
        assert!(matches!(error, TrainError::Interrupted));
    }
}
