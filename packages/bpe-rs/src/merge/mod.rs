//! The merge loop: counted pretokens to merges.

mod gather;
mod learner;
mod neighbours;
mod pairs;
mod queue;
mod tally;
mod threshold;
mod tokens;
mod words;

use learner::Learner;
pub(crate) use words::Words;

use crate::error::TrainError;
use crate::watch::{Stage, Watch};

const BYTE_TOKENS: usize = 256;

/// Two adjacent tokens, by id: 0 to 255 are the bytes, 256 + k is what merge k made.
pub(crate) type Pair = (u32, u32);

/// Which of equally frequent pairs is merged first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TieBreak {
    /// The one with the lexicographically greatest (left bytes, right bytes).
    #[default]
    Bytes,
    /// The one with the smallest (left id, right id), where bytes have the ids that a byte-level
    /// tokenizer of Hugging Face gives them.
    HuggingFace,
}

/// What to learn.
#[derive(Clone, Debug)]
pub(crate) struct MergeOptions {
    /// At most so many merges, those to begin with among them.
    pub(crate) max_merges: usize,
    pub(crate) tie_break: TieBreak,
    /// Pairs that occur less often are not merged.
    pub(crate) min_frequency: u64,
    /// No longer token is made.
    pub(crate) max_token_bytes: Option<usize>,
}

impl MergeOptions {
    /// As they are where nobody says otherwise.
    pub(crate) fn new(max_merges: usize) -> Self {
        Self {
            max_merges,
            tie_break: TieBreak::Bytes,
            min_frequency: 1,
            max_token_bytes: None,
        }
    }
}

/// What was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Learned {
    /// In the order learned.
    pub(crate) merges: Vec<Pair>,
    /// Whether the watch ended it before there were enough.
    pub(crate) was_interrupted: bool,
}

/// Learns up to `max_merges` merges, the `first` among them; fewer when no pair is left.
///
/// The first are merged as they are given. So a part of the merges of a corpus gives, with that
/// corpus, the others: as if they had been learned at once.
///
/// # Errors
///
/// [`TrainError::UnknownToken`] if one of the `first` joins tokens that are not made before it;
/// [`TrainError::CountOverflow`] and [`TrainError::TooMany`] as they say. An interruption is none.
pub(crate) fn learn_merges(
    words: Words,
    first: &[Pair],
    options: &MergeOptions,
    watch: &Watch,
) -> Result<Learned, TrainError> {
    watch.begin(Stage::Merge, options.max_merges as u64);
    learn(words, first, options, Tuning::default(), watch)
}

/// What changes how fast it goes and how much memory it takes, and nothing else.
#[derive(Clone, Copy, Debug)]
struct Tuning {
    /// The mean of all pairs a merge is so many times what a pair must reach to be watched.
    share: u64,
    /// So many pairs or places more are never worth a sweep.
    few: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            share: 64,
            few: 1 << 18,
        }
    }
}

fn learn(
    words: Words,
    first: &[Pair],
    options: &MergeOptions,
    tuning: Tuning,
    watch: &Watch,
) -> Result<Learned, TrainError> {
    let first = &first[..first.len().min(options.max_merges)];
    check(first)?;
    let mut merges = first.to_vec();
    let was_interrupted = match continue_merges(&mut merges, words, options, tuning, watch) {
        Ok(()) => false,
        Err(TrainError::Interrupted) => true,
        Err(error) => return Err(error),
    };
    Ok(Learned {
        merges,
        was_interrupted,
    })
}

fn check(merges: &[Pair]) -> Result<(), TrainError> {
    for (merge, &(left, right)) in merges.iter().enumerate() {
        let known = BYTE_TOKENS + merge;
        let token_id = left.max(right);
        if token_id as usize >= known {
            return Err(TrainError::UnknownToken {
                merge,
                token_id,
                known,
            });
        }
    }
    Ok(())
}

fn continue_merges(
    merges: &mut Vec<Pair>,
    words: Words,
    options: &MergeOptions,
    tuning: Tuning,
    watch: &Watch,
) -> Result<(), TrainError> {
    let mut learner = Learner::new(words.lay_out(watch)?, merges, options, tuning, watch)?;
    for &pair in &*merges {
        learner.merge(pair)?;
        watch.advance(1);
    }
    while let missing = options.max_merges - merges.len()
        && missing > 0
        && let Some(pair) = learner.merge_next(missing)?
    {
        merges.push(pair);
        watch.advance(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
