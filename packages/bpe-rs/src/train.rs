//! From counts to a vocabulary.

use std::borrow::Borrow;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::count::PretokenCounts;
use crate::counter::Counter;
use crate::error::TrainError;
use crate::merge::{MergeOptions, Pair, TieBreak, Words, learn_merges};
use crate::watch::Watch;

/// The single bytes, with which merging starts.
const BYTES: usize = 256;

/// What training learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// The bytes of each token, by id: special tokens, single bytes, one token for each merge.
    pub tokens: Vec<Vec<u8>>,
    /// The ids of left and right side of each merge, in the order learned.
    pub merges: Vec<(u32, u32)>,
}

/// All tokens together must be shorter. Sane ones take megabytes; but a single long pretoken that is
/// merged to the end grows one token out of another, and n of them take n * n / 2 bytes.
const MAX_TOTAL_BYTES: u64 = 4 << 30;

/// Left and right bytes of a merge.
pub type Merge = (Vec<u8>, Vec<u8>);

/// Learns byte-level BPE vocabularies (Sennrich et al. 2016, <https://arxiv.org/abs/1508.07909>;
/// on bytes, Radford et al. 2019).
///
/// Each merge joins the most frequent pair of adjacent tokens; of equally frequent pairs, the one
/// that [`TieBreak`] says. No merge crosses a pretoken, as its [`Counter`] cuts them.
#[derive(Debug)]
pub struct Trainer {
    counter: Counter,
    vocab_size: usize,
    min_count: u64,
    /// The single bytes that are in the vocabulary in any case.
    alphabet: Vec<u8>,
    initial_merges: Vec<Merge>,
    keeps_partial: bool,
    options: MergeOptions,
}

impl Trainer {
    /// A trainer for up to `vocab_size` tokens, which count special tokens, bytes and merges.
    ///
    /// # Errors
    ///
    /// [`TrainError::SpecialTokens`] for empty, duplicate and one-byte special tokens.
    pub fn new<S: AsRef<str>>(vocab_size: usize, special_tokens: &[S]) -> Result<Self, TrainError> {
        Ok(Self::with_counter(
            vocab_size,
            Counter::new(special_tokens)?,
        ))
    }

    /// The same with a counter that has options of its own, and the special tokens.
    pub fn with_counter(vocab_size: usize, counter: Counter) -> Self {
        Self {
            counter,
            vocab_size,
            min_count: 1,
            alphabet: (0..=u8::MAX).collect(),
            initial_merges: Vec::new(),
            keeps_partial: false,
            options: MergeOptions::new(0),
        }
    }

    /// Which of equally frequent pairs is merged first.
    #[must_use]
    pub fn tie_break(mut self, tie_break: TieBreak) -> Self {
        self.options.tie_break = tie_break;
        self
    }

    /// Leaves pairs alone that occur less often.
    #[must_use]
    pub fn min_frequency(mut self, min_frequency: u64) -> Self {
        self.options.min_frequency = min_frequency.max(1);
        self
    }

    /// Makes no longer token.
    #[must_use]
    pub fn max_token_bytes(mut self, max_token_bytes: Option<usize>) -> Self {
        self.options.max_token_bytes = max_token_bytes;
        self
    }

    /// Leaves out pretokens that occur less often: less memory, for a result that is not exact.
    #[must_use]
    pub fn min_count(mut self, min_count: u64) -> Self {
        self.min_count = min_count;
        self
    }

    /// Holds these single bytes and those that occur, in place of all 256.
    #[must_use]
    pub fn initial_alphabet(mut self, alphabet: &[u8]) -> Self {
        self.alphabet = alphabet.to_vec();
        self.alphabet.sort_unstable();
        self.alphabet.dedup();
        self
    }

    /// Goes on from these merges, as if it had learned them.
    #[must_use]
    pub fn initial_merges(mut self, merges: Vec<Merge>) -> Self {
        self.initial_merges = merges;
        self
    }

    /// Gives the vocabulary so far when it is interrupted while merging, in place of an error.
    #[must_use]
    pub fn keep_partial(mut self, keeps_partial: bool) -> Self {
        self.keeps_partial = keeps_partial;
        self
    }

    /// What counts pretokens for it.
    pub fn counter(&self) -> &Counter {
        &self.counter
    }

    /// For another thread: how far the training is, and the way to end it.
    pub fn watch(&self) -> Arc<Watch> {
        self.counter.watch()
    }

    /// Learns from files, as [`Counter::count_files`] reads them.
    ///
    /// # Errors
    ///
    /// Those of [`Counter::count_files`] and of [`Trainer::train`].
    pub fn train_files(&self, paths: &[PathBuf]) -> Result<Vocabulary, TrainError> {
        self.check()?;
        self.train(self.counter.count_files(paths)?)
    }

    /// Learns from texts in memory.
    ///
    /// # Errors
    ///
    /// Those of [`Counter::count_texts`] and of [`Trainer::train`].
    pub fn train_texts<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vocabulary, TrainError> {
        self.check()?;
        self.train(self.counter.count_texts(texts)?)
    }

    /// Learns from counts. Given by value, they are dropped before merging, which needs the memory.
    ///
    /// # Errors
    ///
    /// [`TrainError::VocabTooSmall`] if special tokens and bytes alone exceed `vocab_size`;
    /// [`TrainError::NoText`] if there is nothing but special tokens;
    /// [`TrainError::OtherSpecialTokens`] if the counts were cut by others;
    /// [`TrainError::InitialMerge`], [`TrainError::CountOverflow`] and [`TrainError::TooMany`], as
    /// they say; [`TrainError::Interrupted`].
    pub fn train(&self, counts: impl Borrow<PretokenCounts>) -> Result<Vocabulary, TrainError> {
        self.check()?;
        let (words, alphabet) = self.lay_out(counts.borrow())?;
        drop(counts);
        let options = MergeOptions {
            max_merges: self.room(alphabet.len())?,
            ..self.options.clone()
        };
        let first = self.number_initial_merges(options.max_merges)?;
        let learned = learn_merges(words, &first, &options, &self.watch())?;
        if learned.was_interrupted && !self.keeps_partial {
            return Err(TrainError::Interrupted);
        }
        self.vocabulary(&alphabet, &learned.merges)
    }

    /// What can be said without counting: not after hours.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let room = self.room(self.alphabet.len())?;
        self.number_initial_merges(room)?;
        Ok(())
    }

    /// How many merges the vocabulary has room for.
    fn room(&self, alphabet: usize) -> Result<usize, TrainError> {
        let (requested, minimum) = (self.vocab_size, alphabet + self.special_tokens().len());
        let room = requested.checked_sub(minimum);
        room.ok_or(TrainError::VocabTooSmall { requested, minimum })
    }

    fn special_tokens(&self) -> &[String] {
        self.counter.special_tokens()
    }

    /// The pretokens as merging needs them, and the single bytes of the vocabulary.
    fn lay_out(&self, counts: &PretokenCounts) -> Result<(Words, Vec<u8>), TrainError> {
        counts.check_special_tokens(self.special_tokens())?;
        let mut words = Words::new();
        let mut occurs = [false; BYTES];
        for &byte in &self.alphabet {
            occurs[usize::from(byte)] = true;
        }
        let mut is_empty = true;
        let watch = self.watch();
        counts.for_each(self.min_count, |pretoken, count| {
            watch.check()?;
            is_empty = false;
            for &byte in pretoken {
                occurs[usize::from(byte)] = true;
            }
            words.push(pretoken, count)
        })?;
        if is_empty {
            return Err(TrainError::NoText);
        }
        let alphabet = (0..=u8::MAX).filter(|&byte| occurs[usize::from(byte)]);
        Ok((words, alphabet.collect()))
    }

    /// The merges to start from, with bytes and earlier merges for their sides.
    fn number_initial_merges(&self, room: usize) -> Result<Vec<Pair>, TrainError> {
        let given = self.initial_merges.len();
        if given > room {
            return Err(TrainError::TooManyInitialMerges { given, room });
        }
        let mut ids: HashMap<Vec<u8>, u32> = (0..=u8::MAX)
            .map(|byte| (vec![byte], u32::from(byte)))
            .collect();
        let number = |(rank, (left, right)): (usize, &Merge)| {
            let pair = (ids.get(left).copied(), ids.get(right).copied());
            let both = [&left[..], right].concat();
            let is_new = ids.insert(both, (BYTES + rank) as u32).is_none();
            match pair {
                (Some(left), Some(right)) if is_new => Ok((left, right)),
                _ => Err(TrainError::InitialMerge {
                    merge: rank,
                    left: left.clone(),
                    right: right.clone(),
                    reason: if is_new {
                        "of which no merge before it makes one"
                    } else {
                        "which makes a token that is there already"
                    },
                }),
            }
        };
        self.initial_merges.iter().enumerate().map(number).collect()
    }

    /// Puts the special tokens before the bytes and the merged tokens, which moves all ids.
    fn vocabulary(&self, alphabet: &[u8], merges: &[Pair]) -> Result<Vocabulary, TrainError> {
        let special = self.special_tokens().iter();
        let special = special.map(|token| token.clone().into_bytes());
        let bytes = alphabet.iter().map(|&byte| vec![byte]);
        let mut tokens: Vec<Vec<u8>> = special.chain(bytes).collect();
        let first_merged = tokens.len();
        if u32::try_from(first_merged + merges.len()).is_err() {
            return Err(TrainError::TooMany { what: "tokens" });
        }
        check_total_length(merges)?;
        let mut ids = [0; BYTES];
        for (id, &byte) in (self.special_tokens().len() as u32..).zip(alphabet) {
            ids[usize::from(byte)] = id;
        }
        let id_of = |token: u32| match ids.get(token as usize) {
            Some(&id) => id,
            None => token - BYTES as u32 + first_merged as u32,
        };
        let merges: Vec<Pair> = merges
            .iter()
            .map(|&(left, right)| (id_of(left), id_of(right)))
            .collect();
        for &(left, right) in &merges {
            let [left, right] = [left, right].map(|id| tokens[id as usize].as_slice());
            tokens.push([left, right].concat());
        }
        Ok(Vocabulary { tokens, merges })
    }
}

fn check_total_length(merges: &[Pair]) -> Result<(), TrainError> {
    let mut lengths = vec![1_u64; BYTES];
    let mut total = 0_u64;
    for &(left, right) in merges {
        let length = lengths[left as usize].saturating_add(lengths[right as usize]);
        lengths.push(length);
        total = total.saturating_add(length);
    }
    let limit = MAX_TOTAL_BYTES;
    if total > limit {
        return Err(TrainError::TokensTooLong { total, limit });
    }
    Ok(())
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
            let mut file = std::fs::File::create(&path).unwrap();
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
            trainer.counter = trainer.counter.num_threads(num_threads);
            trainer.counter.files.block_bytes = block_bytes;
            prop_assert_eq!(trainer.train_files(&paths).ok(), whole);
        }
    }

    #[test]
    fn tokens_that_grow_out_of_one_another_are_refused_before_they_are_written() {
        // Each token is twice as long as the last: some 2^40 bytes in all.
        let merges: Vec<Pair> = (0..40)
            .map(|k| if k == 0 { (97, 97) } else { (255 + k, 255 + k) })
            .collect();
        let trainer = Trainer::new(1000, &[] as &[&str]).unwrap();
        let error = trainer.vocabulary(b"a", &merges).unwrap_err();
        assert!(error.to_string().contains("max_token_bytes"), "{error}");
    }

    #[test]
    fn an_interrupted_training_says_so() {
        let trainer = Trainer::new(300, &SPECIAL).unwrap();
        trainer.watch().interrupt();
        let error = trainer.train_texts(&["two words"]).unwrap_err();
        assert!(matches!(error, TrainError::Interrupted));
    }
}
